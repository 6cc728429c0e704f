// A server and its clients over TLS, in one process: as many connections at once as the first argument says, with as many
// requests each as the second one. Each request's path has the client's port. It prints "ready", waits for SIGUSR1,
// and prints how many requests the clients saw answered.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	connections, _ := strconv.Atoi(os.Args[1])
	requests, _ := strconv.Atoi(os.Args[2])
	certificate, pool := selfSigned()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	server := &http.Server{
		Handler:      http.HandlerFunc(answer),
		TLSConfig:    &tls.Config{Certificates: []tls.Certificate{certificate}},
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	go server.ServeTLS(listener, "", "")
	start := make(chan os.Signal, 1)
	signal.Notify(start, syscall.SIGUSR1)
	fmt.Println("ready")
	<-start

	var answered atomic.Int64
	var clients sync.WaitGroup
	for i := 0; i < connections; i++ {
		clients.Add(1)
		go func() {
			defer clients.Done()
			answered.Add(int64(client(listener.Addr().String(), pool, requests)))
		}()
	}
	clients.Wait()
	fmt.Println(answered.Load())
}

// Requests of one connection, which the path names by its port; every third has a body.
func client(address string, pool *x509.CertPool, requests int) (answered int) {
	raw, err := net.Dial("tcp", address)
	check(err)
	port := raw.LocalAddr().(*net.TCPAddr).Port
	// Not by http.Transport, which takes a new connection whenever the old one is slow to be free again.
	conn := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for n := 0; n < requests; n++ {
		url := fmt.Sprintf("https://%s/%d/%d", address, port, n)
		method, body := "GET", ""
		if n%3 == 2 {
			method, body = "POST", strings.Repeat("b", 40_000)
		}
		request, err := http.NewRequest(method, url, strings.NewReader(body))
		check(err)
		check(request.Write(conn))
		response, err := http.ReadResponse(reader, request)
		check(err)
		text, err := io.ReadAll(response.Body)
		check(err)
		response.Body.Close()
		if response.StatusCode == 200 && strings.HasPrefix(string(text), request.URL.Path) {
			answered++
		}
	}
	return answered
}

// Some answers wait, so that the goroutine goes on in another thread; some are large; all need a stack that grows.
func answer(response http.ResponseWriter, request *http.Request) {
	io.Copy(io.Discard, request.Body)
	if deep(200)%7 == 0 {
		time.Sleep(time.Millisecond)
	}
	io.WriteString(response, request.URL.Path+strings.Repeat(" ", len(request.URL.Path)*500))
}

func deep(n int) int {
	var room [256]byte
	if n == 0 {
		return int(time.Now().UnixNano())
	}
	room[n] = 1
	return deep(n-1) + int(room[0])
}

func selfSigned() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"localhost"},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(err)
	parsed, err := x509.ParseCertificate(der)
	check(err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
