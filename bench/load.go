package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-idp/gatehouse/internal/clock"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

// load is a bounded stream of requests against one realm of a
// Keycloak-compatible server.
type load struct {
	Target  string        // the realm's address, http://host:port/auth/realms/name
	Kind    string        // client-credentials, refresh or password
	Workers int           // requests in flight
	For     time.Duration // bound in time
	Count   int           // bound in count; 0: none but the time
	Client  string
	Secret  string
	User    string
	Pass    string
	Rate    float64 // requests per second; 0: as fast as they are answered
}

// outcome is what one load measured.
type outcome struct {
	Done    int           `json:"done"`
	Failed  int           `json:"failed"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Error   string        `json:"error,omitempty"` // the first failure
}

func (o outcome) perSecond() float64 { return float64(o.Done) / o.Elapsed.Seconds() }

// run sends the load. Each worker has one connection and, for refreshes, one
// session.
func (l load) run(ctx context.Context, c clock.Clock) (outcome, error) {
	grant, err := l.grant()
	if err != nil {
		return outcome{}, err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: l.Workers}, Timeout: 30 * time.Second}
	ready := make([]url.Values, l.Workers)
	for i := range ready {
		if ready[i], err = grant(ctx, client); err != nil {
			return outcome{}, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, l.For)
	defer cancel()
	var (
		mu    sync.Mutex
		sum   outcome
		tasks = l.tickets(ctx, c)
		group sync.WaitGroup
		begin = c.Now()
	)
	for i := range l.Workers {
		group.Go(func() {
			form := ready[i]
			for range tasks {
				answer, err := token(ctx, client, l.Target, form)
				mu.Lock()
				switch {
				case ctx.Err() != nil: // the time is up: neither done nor failed
				case err != nil:
					sum.Failed++
					if sum.Error == "" {
						sum.Error = err.Error()
					}
				default:
					sum.Done++
				}
				mu.Unlock()
				if l.Kind == "refresh" && err == nil {
					form.Set("refresh_token", answer.Refresh)
				}
			}
		})
	}
	group.Wait()
	sum.Elapsed = clock.Since(c, begin)
	return sum, nil
}

// tickets gives a ticket for each request to send, until a bound is reached.
func (l load) tickets(ctx context.Context, c clock.Clock) <-chan struct{} {
	out := make(chan struct{})
	go func() {
		defer close(out)
		var every *clock.Timer
		if l.Rate > 0 {
			every = c.NewTicker(time.Duration(float64(time.Second) / l.Rate))
			defer every.Stop()
		}
		for n := 0; l.Count == 0 || n < l.Count; n++ {
			if every != nil {
				select {
				case <-every.C:
				case <-ctx.Done():
					return
				}
			}
			select {
			case out <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// grant prepares the form that a worker repeats.
func (l load) grant() (func(context.Context, *http.Client) (url.Values, error), error) {
	password := url.Values{"grant_type": {"password"}, "client_id": {l.Client}, "client_secret": {l.Secret}, "username": {l.User}, "password": {l.Pass}}
	switch l.Kind {
	case "client-credentials":
		return func(context.Context, *http.Client) (url.Values, error) {
			return url.Values{"grant_type": {"client_credentials"}, "client_id": {l.Client}, "client_secret": {l.Secret}}, nil
		}, nil
	case "password":
		return func(context.Context, *http.Client) (url.Values, error) { return password, nil }, nil
	case "refresh":
		return func(ctx context.Context, client *http.Client) (url.Values, error) {
			// With scope openid a refresh is two signatures: access and ID token.
			first := url.Values{"scope": {"openid"}}
			for k, v := range password {
				first[k] = v
			}
			answer, err := token(ctx, client, l.Target, first)
			return url.Values{"grant_type": {"refresh_token"}, "client_id": {l.Client}, "client_secret": {l.Secret}, "refresh_token": {answer.Refresh}}, err
		}, nil
	}
	return nil, problem.Invalid.Errorf("cannot send the load %q: want client-credentials, refresh or password", l.Kind)
}

type answer struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

func token(ctx context.Context, client *http.Client, realm string, form url.Values) (a answer, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm+"/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		return a, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return a, err
	}
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("%s grant answers %s: %.200s", form.Get("grant_type"), resp.Status, body)
	}
	return a, json.Unmarshal(body, &a)
}
