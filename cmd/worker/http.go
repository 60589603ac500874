package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/yardmaster/yardmaster/worker"
)

// errorBodyMax is how much of a refusal's body is kept.
const errorBodyMax = 4 << 10

// httpHandler posts each task's payload to a fixed URL.
type httpHandler struct {
	spec   *httpSpec
	client *http.Client
}

// newHTTPClient returns a client that follows no redirect: the file names the endpoint, nobody else.
func newHTTPClient(slots int) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = slots
	transport.Proxy = nil
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Run implements worker.HandlerFunc. 2xx is success. 408, 425, 429, 5xx and broken connections are retried, after
// Retry-After if the answer has one; every other answer is a permanent failure.
func (h *httpHandler) Run(ctx context.Context, t *worker.Task) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.spec.URL, bytes.NewReader(t.Payload))
	if err != nil {
		return nil, worker.Permanent(fmt.Errorf("make request: %w", err))
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	if h.spec.ContentType != "" {
		req.Header.Set("Content-Type", h.spec.ContentType)
	}
	for k, v := range h.spec.Headers {
		req.Header.Set(k, v)
	}
	req.Header.Set("Yard-Task", strconv.FormatUint(t.ID, 10))
	req.Header.Set("Yard-Token", strconv.FormatUint(t.Token, 10))
	req.Header.Set("Yard-Attempt", strconv.Itoa(t.Attempt))
	req.Header.Set("Yard-Kind", t.Kind)
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("post: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, refused(resp)
	}
	result, err := io.ReadAll(io.LimitReader(resp.Body, worker.ResultBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return result, nil // the SDK refuses one that is too large
}

func refused(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBodyMax)) // what could be read is good enough
	f := &worker.Failure{Cause: worker.CauseError, Message: "the endpoint answered " + resp.Status, Detail: string(body)}
	switch c := resp.StatusCode; {
	case c == http.StatusRequestTimeout, c == http.StatusTooEarly, c == http.StatusTooManyRequests, c >= 500:
		f.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
	default:
		f.Permanent = true
	}
	return f
}

// retryAfter reads the header, seconds or a date; 0 if it says nothing of use.
func retryAfter(text string) time.Duration {
	wait := time.Duration(0)
	if s, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(max(0, min(s, 1<<30))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = max(0, time.Until(at))
	}
	return min(wait, worker.RetryAfterMax)
}
