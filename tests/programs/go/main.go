// The conversation of tests/programs/README.md by Go's net/http, HTTP/1.1 and HTTP/2, without and with crypto/tls.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		err = serve(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "call":
		err = call(os.Args[2], os.Args[3])
	default:
		err = errors.New("usage: program serve PROTOCOL | program call PROTOCOL URL")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func pem(name string) string { return filepath.Join(os.Getenv("TLS_FOLDER"), name+".pem") }

// protocols is the one version that a protocol's name stands for.
func protocols(protocol string) *http.Protocols {
	var set http.Protocols
	set.SetHTTP1(protocol == "http" || protocol == "https")
	set.SetHTTP2(protocol == "h2")
	set.SetUnencryptedHTTP2(protocol == "h2c")
	return &set
}

func answer(w http.ResponseWriter, r *http.Request) {
	end := func(status int, body []byte) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		w.Write(body)
	}
	switch r.URL.Path {
	case "/hello":
		end(200, []byte("hello"))
	case "/echo":
		body, _ := io.ReadAll(r.Body)
		end(200, body)
	case "/chunks":
		io.WriteString(w, "one ")
		w.(http.Flusher).Flush()
		io.WriteString(w, "two")
	default:
		end(404, []byte("missing"))
	}
}

func serve(protocol string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	server := http.Server{Handler: http.HandlerFunc(answer), Protocols: protocols(protocol)}
	if protocol == "https" || protocol == "h2" {
		return server.ServeTLS(listener, pem("cert"), pem("key"))
	}
	return server.Serve(listener)
}

func call(protocol, target string) error {
	transport := http.Transport{Protocols: protocols(protocol), MaxIdleConnsPerHost: 4}
	if protocol == "https" || protocol == "h2" {
		certificate, err := os.ReadFile(pem("cert"))
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(certificate)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
		if protocol == "h2" {
			// The probes come some moments after the program has begun.
			time.Sleep(time.Second)
		}
	}
	client := http.Client{Transport: &transport}
	var group sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		group.Go(func() { errs[i] = talk(&client, target) })
	}
	group.Wait()
	return errors.Join(errs...)
}

func talk(client *http.Client, target string) error {
	body := strings.Repeat("x", 20000)
	for _, step := range []struct {
		times        int
		method, path string
		sent         string
		status       int
		body         string
	}{
		{5, "GET", "/hello", "", 200, "hello"},
		{2, "GET", "/missing", "", 404, "missing"},
		{2, "POST", "/echo", body, 200, body},
		{1, "GET", "/chunks", "", 200, "one two"},
	} {
		for range step.times {
			request, err := http.NewRequest(step.method, target+step.path, bytes.NewReader([]byte(step.sent)))
			if err != nil {
				return err
			}
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			got, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || response.StatusCode != step.status || string(got) != step.body {
				return fmt.Errorf("%s %s: %s, %d bytes, %v", step.method, step.path, response.Status, len(got), err)
			}
		}
	}
	return nil
}
