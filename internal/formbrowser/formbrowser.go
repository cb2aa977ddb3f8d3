// Package formbrowser is a browser without a screen: it keeps cookies, follows
// redirects, and fills in and submits the forms of a page. It knows no product
// noun; what drives web pages unattended drives them through it.
package formbrowser

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/html"

	"github.com/gatehouse-idp/gatehouse/internal/problem"
)

const (
	maxRedirects = 20
	maxPage      = 4 << 20 // bytes of a page that are read
)

// Browser is one user's browser: a cookie jar and a way to fetch. It is not
// safe for concurrent use, as a window is not.
type Browser struct {
	client *http.Client
	stopAt func(*url.URL) bool
}

// New returns a browser with no cookies. A redirect to an address for which
// stopAt reports true is not followed: the page then is the redirect itself.
// That is where an application would take over. stopAt may be nil, and so may
// transport.
func New(transport http.RoundTripper, stopAt func(*url.URL) bool) *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil { // documented to be always nil
		jar = nil
	}
	b := &Browser{stopAt: stopAt}
	b.client = &http.Client{Jar: jar, Transport: transport, CheckRedirect: b.checkRedirect}
	return b
}

func (b *Browser) checkRedirect(req *http.Request, via []*http.Request) error {
	if b.stopAt != nil && b.stopAt(req.URL) {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return problem.Invalid.Errorf("cannot open %s: more than %d redirects", via[0].URL.Redacted(), maxRedirects)
	}
	return nil
}

// Page is what a browser shows.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Body   []byte
	root   *html.Node
}

// Open fetches an address and follows its redirects.
func (b *Browser) Open(ctx context.Context, address string) (*Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, problem.Invalid.Errorf("cannot open %q: %w", address, err)
	}
	return b.do(req)
}

// Submit sends a form.
func (b *Browser) Submit(ctx context.Context, f *Form) (*Page, error) {
	if f.Method == http.MethodGet {
		u := *f.Action
		u.RawQuery = f.Values.Encode()
		return b.Open(ctx, u.String())
	}
	req, err := http.NewRequestWithContext(ctx, f.Method, f.Action.String(), strings.NewReader(f.Values.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", f.Action.Scheme+"://"+f.Action.Host)
	return b.do(req)
}

// Cookie is the value of the cookie that the browser would send to address, or
// "".
func (b *Browser) Cookie(address, name string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *Browser) do(req *http.Request) (*Page, error) {
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", resp.Request.URL.Redacted(), err)
	}
	root, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("cannot parse %s: %w", resp.Request.URL.Redacted(), err)
	}
	return &Page{URL: resp.Request.URL, Status: resp.StatusCode, Header: resp.Header, Body: body, root: root}, nil
}

// Location is where a redirect that was not followed points, or nil.
func (p *Page) Location() *url.URL {
	u, err := p.URL.Parse(p.Header.Get("Location"))
	if err != nil || p.Header.Get("Location") == "" {
		return nil
	}
	return u
}

// Text is the visible text of the page, white space folded.
func (p *Page) Text() string {
	var words []string
	walk(p.root, func(n *html.Node) bool {
		if n.Type == html.ElementNode && (n.Data == "script" || n.Data == "style") {
			return false
		}
		if n.Type == html.TextNode {
			words = append(words, strings.Fields(n.Data)...)
		}
		return true
	})
	return strings.Join(words, " ")
}

// Link is the address of the first link whose text contains text, or nil.
func (p *Page) Link(text string) *url.URL {
	var found *url.URL
	walk(p.root, func(n *html.Node) bool {
		if found == nil && n.Type == html.ElementNode && n.Data == "a" && strings.Contains(textOf(n), text) {
			if u, err := p.URL.Parse(attr(n, "href")); err == nil {
				found = u
			}
		}
		return found == nil
	})
	return found
}

// Form is a form of a page, filled in as the page has it.
type Form struct {
	Action *url.URL
	Method string
	Values url.Values
}

// Form is the first form of the page that has a field or button with this
// name.
func (p *Page) Form(field string) (*Form, error) {
	var found *Form
	walk(p.root, func(n *html.Node) bool {
		if found != nil {
			return false
		}
		if n.Type == html.ElementNode && n.Data == "form" && hasField(n, field) {
			found = p.form(n)
		}
		return true
	})
	if found == nil {
		return nil, problem.NotFound.Errorf("cannot find a form with the field %q on %s (status %d): %.200s", field, p.URL.Redacted(), p.Status, p.Text())
	}
	return found, nil
}

func (p *Page) form(n *html.Node) *Form {
	f := &Form{Method: strings.ToUpper(attr(n, "method")), Values: url.Values{}}
	if f.Method == "" {
		f.Method = http.MethodGet
	}
	action, err := p.URL.Parse(attr(n, "action"))
	if err != nil {
		action = p.URL
	}
	f.Action = action
	walk(n, func(n *html.Node) bool {
		name := attr(n, "name")
		if n.Type != html.ElementNode || n.Data != "input" || name == "" {
			return true
		}
		switch attr(n, "type") {
		case "submit", "button", "image":
		case "checkbox", "radio":
			if has(n, "checked") {
				f.Values.Add(name, attr(n, "value"))
			}
		default:
			f.Values.Add(name, attr(n, "value"))
		}
		return true
	})
	return f
}

func hasField(form *html.Node, name string) bool {
	found := false
	walk(form, func(n *html.Node) bool {
		found = found || n.Type == html.ElementNode && attr(n, "name") == name
		return !found
	})
	return found
}

func textOf(n *html.Node) string {
	var b strings.Builder
	walk(n, func(n *html.Node) bool {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
		return true
	})
	return b.String()
}

// walk visits n and what is in it; visit reports whether to go deeper.
func walk(n *html.Node, visit func(*html.Node) bool) {
	if !visit(n) {
		return
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, visit)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}
