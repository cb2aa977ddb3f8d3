package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// provider is an OpenID Connect provider as a client sees it.
type provider struct {
	issuer, client string
	http           *http.Client

	mu    sync.Mutex
	found *metadata
}

// metadata is what the provider says about itself (OpenID Connect Discovery 1.0,
// section 3).
type metadata struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	EndSession    string `json:"end_session_endpoint"`
	Keys          string `json:"jwks_uri"`
}

// discover fetches the metadata once.
func (p *provider) discover(ctx context.Context) (*metadata, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	var m metadata
	if err := p.get(ctx, p.issuer+"/.well-known/openid-configuration", &m); err != nil {
		return nil, fmt.Errorf("cannot find out about the provider: %w", err)
	}
	if m.Issuer != p.issuer {
		return nil, fmt.Errorf("the provider at %s calls itself %q", p.issuer, m.Issuer)
	}
	p.found = &m
	return p.found, nil
}

// authorize is where a login begins.
func (p *provider) authorize(ctx context.Context, redirect string, s *session) (string, error) {
	m, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	challenge := sha256.Sum256([]byte(s.verifier))
	return m.Authorization + "?" + url.Values{
		"response_type": {"code"}, "client_id": {p.client}, "redirect_uri": {redirect}, "scope": {"openid profile email"},
		"state": {s.state}, "nonce": {s.nonce},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode(), nil
}

// exchange turns a code into an ID token and checks it.
func (p *provider) exchange(ctx context.Context, redirect, code string, s *session) (idToken string, claims map[string]any, err error) {
	m, err := p.discover(ctx)
	if err != nil {
		return "", nil, err
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirect}, "client_id": {p.client}, "code_verifier": {s.verifier}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return "", nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		IDToken string `json:"id_token"`
	}
	if err := p.do(req, &answer); err != nil {
		return "", nil, fmt.Errorf("cannot exchange the code: %w", err)
	}
	var set keySet
	if err := p.get(ctx, m.Keys, &set); err != nil {
		return "", nil, fmt.Errorf("cannot fetch the provider's keys: %w", err)
	}
	claims, err = set.verify(answer.IDToken)
	if err != nil {
		return "", nil, err
	}
	return answer.IDToken, claims, p.check(claims, s.nonce)
}

// endSession is where a logout begins (OpenID Connect RP-Initiated Logout 1.0).
func (p *provider) endSession(ctx context.Context, back, idToken string) (string, error) {
	m, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return m.EndSession + "?" + url.Values{"id_token_hint": {idToken}, "post_logout_redirect_uri": {back}, "client_id": {p.client}}.Encode(), nil
}

func (p *provider) get(ctx context.Context, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	return p.do(req, into)
}

func (p *provider) do(req *http.Request, into any) error {
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var refusal struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		if json.Unmarshal(body, &refusal) == nil && refusal.Error != "" {
			return errors.New(refusal.Error + ": " + refusal.Description)
		}
		return fmt.Errorf("%s answers %s", req.URL.Host, resp.Status)
	}
	return json.Unmarshal(body, into)
}
