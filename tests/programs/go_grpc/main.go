// The gRPC conversation of tests/programs/README.md by grpc-go, without and with crypto/tls. Messages are bytes, so that
// nothing has to be generated.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
)

var message = bytes.Repeat([]byte("x"), 5000)

func main() {
	encoding.RegisterCodec(raw{})
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		err = serve(os.Args[2] == "grpcs")
	case len(os.Args) == 4 && os.Args[1] == "call":
		err = call(os.Args[2] == "grpcs", os.Args[3])
	default:
		err = errors.New("usage: program serve PROTOCOL | program call PROTOCOL URL")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// raw stands in for protobuf, under its name, and takes a message for what it is.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(value interface{}) ([]byte, error) { return *value.(*[]byte), nil }

func (raw) Unmarshal(data []byte, value interface{}) error {
	*value.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func pem(name string) string { return filepath.Join(os.Getenv("TLS_FOLDER"), name+".pem") }

func serve(tls bool) error {
	var options []grpc.ServerOption
	if tls {
		keys, err := credentials.NewServerTLSFromFile(pem("cert"), pem("key"))
		if err != nil {
			return err
		}
		options = append(options, grpc.Creds(keys))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	server := grpc.NewServer(options...)
	both := func(name string, handler grpc.StreamHandler) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: name, Handler: handler, ServerStreams: true, ClientStreams: true}
	}
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "redtape.Talk",
		HandlerType: (*interface{})(nil),
		Methods: []grpc.MethodDesc{
			unary("Unary", func(_ context.Context, message *[]byte) (*[]byte, error) { return message, nil }),
			unary("Fail", func(context.Context, *[]byte) (*[]byte, error) {
				return nil, status.Error(codes.NotFound, "no such thing")
			}),
			unary("Wait", func(ctx context.Context, message *[]byte) (*[]byte, error) {
				return message, wait(ctx)
			}),
		},
		Streams: []grpc.StreamDesc{
			both("Gather", gather), both("Spread", spread), both("Both", echo), both("Hold", hold),
		},
	}, new(interface{}))
	return server.Serve(listener)
}

func unary(name string, answer func(context.Context, *[]byte) (*[]byte, error)) grpc.MethodDesc {
	handler := func(_ interface{}, ctx context.Context, decode func(interface{}) error, _ grpc.UnaryServerInterceptor) (interface{}, error) {
		var message []byte
		if err := decode(&message); err != nil {
			return nil, err
		}
		return answer(ctx, &message)
	}
	return grpc.MethodDesc{MethodName: name, Handler: handler}
}

// wait lasts until the caller has given up, and ten seconds at most.
func wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-time.After(10 * time.Second):
		return nil
	}
}

func gather(_ interface{}, stream grpc.ServerStream) error {
	var all []byte
	err := each(stream.RecvMsg, func(message []byte) error {
		all = append(all, message...)
		return nil
	})
	if err != nil {
		return err
	}
	return stream.SendMsg(&all)
}

func spread(_ interface{}, stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	for range 3 {
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
	return nil
}

func echo(_ interface{}, stream grpc.ServerStream) error {
	return each(stream.RecvMsg, func(message []byte) error { return stream.SendMsg(&message) })
}

func hold(_ interface{}, stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	if err := stream.SendMsg(&message); err != nil {
		return err
	}
	return wait(stream.Context())
}

// each takes messages until there are no more.
func each(receive func(interface{}) error, take func([]byte) error) error {
	for {
		var message []byte
		if err := receive(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := take(message); err != nil {
			return err
		}
	}
}

func call(tls bool, target string) error {
	option := grpc.WithInsecure()
	if tls {
		keys, err := credentials.NewClientTLSFromFile(pem("cert"), "")
		if err != nil {
			return err
		}
		option = grpc.WithTransportCredentials(keys)
		// The probes come some moments after the program has begun.
		time.Sleep(time.Second)
	}
	_, address, _ := strings.Cut(target, "://")
	var group sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		group.Add(1)
		go func() {
			defer group.Done()
			errs[i] = talk(address, option)
		}()
	}
	group.Wait()
	return errors.Join(errs...)
}

func talk(address string, option grpc.DialOption) error {
	conn, err := grpc.Dial(address, option)
	if err != nil {
		return err
	}
	defer conn.Close()
	steps := []struct {
		times int
		call  func(*grpc.ClientConn) error
	}{
		{5, plain},
		{2, func(conn *grpc.ClientConn) error { return ends(conn, "Fail", time.Minute, codes.NotFound) }},
		{1, func(conn *grpc.ClientConn) error {
			return ends(conn, "Wait", 200*time.Millisecond, codes.DeadlineExceeded)
		}},
		// The connection is open until the server has heard of it.
		{1, plain},
		{1, func(conn *grpc.ClientConn) error { return stream(conn, "Gather", 3, bytes.Repeat(message, 3)) }},
		{1, func(conn *grpc.ClientConn) error { return stream(conn, "Spread", 1, message, message, message) }},
		{1, func(conn *grpc.ClientConn) error { return stream(conn, "Both", 3, message, message, message) }},
		{1, cancelled},
		{1, plain},
	}
	for _, step := range steps {
		for range step.times {
			if err := step.call(conn); err != nil {
				return err
			}
		}
	}
	// The server's last write is to return before the connection ends: over TLS it is not seen otherwise.
	time.Sleep(100 * time.Millisecond)
	return nil
}

func plain(conn *grpc.ClientConn) error {
	var answer []byte
	if err := conn.Invoke(context.Background(), "/redtape.Talk/Unary", &message, &answer); err != nil {
		return err
	}
	if !bytes.Equal(answer, message) {
		return errors.New("Unary: another message came back")
	}
	return nil
}

// ends is a call that ends with an error, sooner or later.
func ends(conn *grpc.ClientConn, method string, limit time.Duration, code codes.Code) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var answer []byte
	err := conn.Invoke(ctx, "/redtape.Talk/"+method, &message, &answer)
	if status.Code(err) != code {
		return fmt.Errorf("%s: %v", method, err)
	}
	return nil
}

func open(ctx context.Context, conn *grpc.ClientConn, method string) (grpc.ClientStream, error) {
	desc := grpc.StreamDesc{StreamName: method, ServerStreams: true, ClientStreams: true}
	return conn.NewStream(ctx, &desc, "/redtape.Talk/"+method)
}

// stream sends the message some times, and expects these in answer.
func stream(conn *grpc.ClientConn, method string, times int, expected ...[]byte) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := open(ctx, conn, method)
	if err != nil {
		return err
	}
	for range times {
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	count := 0
	err = each(stream.RecvMsg, func(message []byte) error {
		if count >= len(expected) || !bytes.Equal(message, expected[count]) {
			return fmt.Errorf("%s: not the message %d that was expected", method, count)
		}
		count++
		return nil
	})
	if err == nil && count != len(expected) {
		err = fmt.Errorf("%s: %d messages", method, count)
	}
	return err
}

func cancelled(conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := open(ctx, conn, "Hold")
	if err != nil {
		return err
	}
	var answer []byte
	if err := errors.Join(stream.SendMsg(&message), stream.CloseSend(), stream.RecvMsg(&answer)); err != nil {
		return err
	}
	cancel()
	if err := stream.RecvMsg(&answer); status.Code(err) != codes.Canceled {
		return fmt.Errorf("Hold: %v", err)
	}
	return nil
}
