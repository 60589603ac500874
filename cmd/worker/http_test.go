package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/yardmaster/yardmaster/worker"
)

// endpoint serves one handler and returns how to reach it.
func endpoint(t *testing.T, serve http.HandlerFunc) *httpHandler {
	t.Helper()
	server := httptest.NewServer(serve)
	client := newHTTPClient(4)
	t.Cleanup(func() { client.CloseIdleConnections(); server.Close() })
	return &httpHandler{spec: &httpSpec{URL: server.URL + "/hook?fixed=1"}, client: client}
}

func TestHTTPRequest(t *testing.T) {
	h := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for name, want := range map[string]string{
			"Yard-Task": "12", "Yard-Token": "34", "Yard-Attempt": "2", "Yard-Kind": "k", "X-Own": "yes", "Content-Type": "text/plain",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if r.Method != http.MethodPost || r.URL.RequestURI() != "/hook?fixed=1" || string(body) != "http://evil.test/ payload" {
			t.Errorf("%s %s %q", r.Method, r.URL, body)
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprint(w, "made")
	})
	h.spec.ContentType, h.spec.Headers = "text/plain", map[string]string{"X-Own": "yes", "Yard-Task": "forged"}
	got, err := h.Run(t.Context(), testTask("http://evil.test/ payload"))
	if err != nil || string(got) != "made" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHTTPAnswers(t *testing.T) {
	for _, c := range []struct {
		code      int
		after     string
		permanent bool
		want      time.Duration // to wait
	}{
		{code: 301, permanent: true}, {code: 304, permanent: true},
		{code: 400, permanent: true}, {code: 401, permanent: true}, {code: 404, permanent: true}, {code: 409, permanent: true}, {code: 422, permanent: true},
		{code: 404, after: "9", permanent: true},
		{code: 408}, {code: 425}, {code: 429}, {code: 500}, {code: 502}, {code: 503}, {code: 504}, {code: 599},
		{code: 429, after: "7", want: 7 * time.Second}, {code: 503, after: "3600", want: time.Hour},
		{code: 503, after: "0"}, {code: 503, after: "-1"}, {code: 503, after: "soon"},
		{code: 503, after: "99999999999999", want: worker.RetryAfterMax},
		{code: 503, after: "Mon, 01 Jan 2001 00:00:00 GMT"},
		{code: 503, after: "Fri, 01 Jan 2999 00:00:00 GMT", want: worker.RetryAfterMax},
	} {
		h := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			if c.after != "" {
				w.Header().Set("Retry-After", c.after)
			}
			w.WriteHeader(c.code)
			if c.code != http.StatusNotModified {
				_, _ = fmt.Fprint(w, strings.Repeat("x", 2*errorBodyMax))
			}
		})
		_, err := h.Run(t.Context(), testTask(""))
		f, ok := errors.AsType[*worker.Failure](err)
		if !ok {
			t.Errorf("%d: %v", c.code, err)
			continue
		}
		if f.Cause != worker.CauseError || f.Permanent != c.permanent || f.RetryAfter != c.want || len(f.Detail) > errorBodyMax {
			t.Errorf("%d, Retry-After %q: %+v, want permanent %t, retry after %s", c.code, c.after, f, c.permanent, c.want)
		}
		if !strings.Contains(f.Message, http.StatusText(c.code)) {
			t.Errorf("%d: message %q", c.code, f.Message)
		}
	}
}

// TestHTTPBroken: what broke on the way is retried: no opinion against it.
func TestHTTPBroken(t *testing.T) {
	retried := func(t *testing.T, err error) {
		t.Helper()
		if f, ok := errors.AsType[*worker.Failure](err); err == nil || ok && f.Permanent {
			t.Errorf("%v", err)
		}
	}
	t.Run("cut short", func(t *testing.T) {
		h := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = fmt.Fprint(w, "half")
		})
		_, err := h.Run(t.Context(), testTask(""))
		retried(t, err)
	})
	t.Run("nobody there", func(t *testing.T) {
		h := &httpHandler{spec: &httpSpec{URL: "http://127.0.0.1:1/"}, client: newHTTPClient(1)}
		_, err := h.Run(t.Context(), testTask(""))
		retried(t, err)
	})
	t.Run("stopped", func(t *testing.T) {
		ctx, stop := context.WithCancelCause(t.Context())
		h := endpoint(t, func(_ http.ResponseWriter, r *http.Request) {
			stop(worker.ErrTimeout)
			<-r.Context().Done()
		})
		_, err := h.Run(ctx, testTask(""))
		retried(t, err)
	})
	t.Run("too large", func(t *testing.T) {
		h := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			block := make([]byte, 1<<20)
			for range 64 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		})
		got, err := h.Run(t.Context(), testTask(""))
		if err != nil || len(got) != worker.ResultBytesMax+1 { // no more is read; the SDK refuses it
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
}
