package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// engine speaks the Docker API by hand: the peer must not run through the code that is measured, and the docker command
// would add the start of three processes to each run.
type engine struct {
	http *http.Client
	base string
}

// newEngine reads DOCKER_HOST; unset is the system's socket. Errors: an address that is neither unix nor tcp.
func newEngine() (*engine, error) {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	scheme, at, _ := strings.Cut(host, "://")
	switch scheme {
	case "unix":
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", at)
		}
		return &engine{http: &http.Client{Transport: &http.Transport{DialContext: dial}}, base: "http://docker/v1.41"},
			nil
	case "tcp":
		return &engine{http: &http.Client{Transport: &http.Transport{}}, base: "http://" + at + "/v1.41"}, nil
	}
	return nil, fmt.Errorf("DOCKER_HOST=%s: want unix:// or tcp://", host)
}

func (e *engine) call(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, e.base+path, r)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask engine: %w", err)
	}
	if resp.StatusCode >= 400 {
		defer resp.Body.Close()
		words, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // the status alone will do
		return nil, fmt.Errorf("engine: %s %s: %s: %s", method, path, resp.Status, words)
	}
	return resp, nil
}

// do calls and drops the answer.
func (e *engine) do(ctx context.Context, method, path string) error {
	resp, err := e.call(ctx, method, path, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// pull gets an image by digest.
func (e *engine) pull(ctx context.Context, image string) error {
	resp, err := e.call(ctx, "POST", "/images/create?fromImage="+url.QueryEscape(image), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for d := json.NewDecoder(resp.Body); ; {
		var line struct{ Error string }
		if err := d.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil || line.Error != "" {
			return fmt.Errorf("pull %s: %s %w", image, line.Error, err)
		}
	}
}

// runOnce is docker run without the command: create, start, and the time until the first byte of output is here. The
// container is removed.
func (e *engine) runOnce(ctx context.Context, image string, args []string) (d time.Duration, err error) {
	began := time.Now()
	resp, err := e.call(ctx, "POST", "/containers/create", map[string]any{
		"Image": image, "Cmd": args, "HostConfig": map[string]any{"NetworkMode": "none", "Memory": jobRAM,
			"NanoCpus": 1_000_000_000, "ShmSize": jobShm},
	})
	if err != nil {
		return 0, err
	}
	var made struct{ ID string }
	err = errors.Join(json.NewDecoder(resp.Body).Decode(&made), resp.Body.Close())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.do(ctx, "DELETE", "/containers/"+made.ID+"?force=true&v=true")) }()
	if err := e.do(ctx, "POST", "/containers/"+made.ID+"/start"); err != nil {
		return 0, err
	}
	logs, err := e.call(ctx, "GET", "/containers/"+made.ID+"/logs?follow=true&stdout=true&stderr=true", nil)
	if err != nil {
		return 0, err
	}
	defer logs.Body.Close()
	var head [9]byte // the frame's header and its first byte
	if _, err := io.ReadFull(logs.Body, head[:]); err != nil {
		return 0, fmt.Errorf("the container wrote nothing: %w", err)
	}
	return time.Since(began), nil
}
