package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"go.uber.org/goleak"
)

func TestServe(t *testing.T) {
	defer goleak.VerifyNone(t)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var unready error
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, lis, Handler(func() error { return unready }, metrics)) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string, want int) string {
		t.Helper()
		resp, err := client.Get("http://" + lis.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s: %d, %v, want %d", path, resp.StatusCode, err, want)
		}
		return string(body)
	}
	get("/healthz", http.StatusOK)
	get("/readyz", http.StatusOK)
	unready = errors.New("not leading")
	if body := get("/readyz", http.StatusServiceUnavailable); body != "not leading\n" {
		t.Errorf("/readyz says %q", body)
	}
	get("/healthz", http.StatusOK)
	if body := get("/metrics", http.StatusOK); body != "up 1\n" {
		t.Errorf("/metrics says %q", body)
	}
	get("/debug/pprof/cmdline", http.StatusOK)
	get("/", http.StatusNotFound)
	stop()
	if err := <-served; err != nil {
		t.Errorf("an ordered end: %v", err)
	}
}
