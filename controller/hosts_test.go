package controller_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-idp/gatehouse/controller"
	"github.com/gatehouse-idp/gatehouse/controller/hosttest"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

func TestAHostsFactsAndItsWrongClockAreInItsRuntimeAttributes(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	p.join(&hosttest.Agent{Name: "h1", Operations: hostOperations(t, "h1", "s1"), Ahead: time.Hour, Version: "1.2.3"})
	p.join(&hosttest.Agent{Name: "h2", Operations: hostOperations(t, "h2", "s2")})
	type resource struct {
		State    string   `json:"host-state"`
		Version  string   `json:"version"`
		Cores    int      `json:"cores"`
		Skew     int64    `json:"clock-skew-ms"`
		Warnings []string `json:"warnings"`
	}
	var one, two resource
	until(t, "the skew is known", func() bool {
		r, err := p.try("read-resource", "/host=h1", "include-runtime", true)
		if err != nil {
			return false
		}
		one = resource{}
		decode(t, r.Result, &one)
		return one.Skew != 0
	})
	if one.State != "running" || one.Version != "1.2.3" || one.Cores != 4 || one.Skew < time.Hour.Milliseconds()-patience.Milliseconds() || len(one.Warnings) != 1 || !strings.Contains(one.Warnings[0], "ahead of the controller's") {
		t.Errorf("%+v", one)
	}
	until(t, "the other host is there", func() bool {
		r, err := p.try("read-resource", "/host=h2", "include-runtime", true)
		if err == nil {
			decode(t, r.Result, &two)
		}
		return two.State == "running"
	})
	if two.State != "running" || len(two.Warnings) != 0 {
		t.Errorf("%+v", two)
	}
	if got := p.do("read-attribute", "/host=h1", "name", "host-state").Result; got != "running" {
		t.Errorf("host-state is %v", got)
	}
	var all []struct{ Result resource }
	decode(t, p.do("read-resource", "/host=*", "include-runtime", true).Result, &all)
	if len(all) != 2 || all[0].Result.Cores != 4 || all[1].Result.State != "running" {
		t.Errorf("%+v", all)
	}
	var plain map[string]any
	decode(t, p.do("read-resource", "/host=h1").Result, &plain)
	if _, there := plain["cores"]; there {
		t.Error("runtime attributes without include-runtime")
	}
}

func TestAHostIsReloadedAndShutDownThroughTheController(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	var mu sync.Mutex
	var orders []string
	p.join(&hosttest.Agent{Name: "h1", Operations: hostOperations(t, "h1", "s1"), Ordered: func(o *hostlink.Order) {
		mu.Lock()
		defer mu.Unlock()
		orders = append(orders, o.Kind+string(o.Parameters))
	}})
	until(t, "the host is there", func() bool { _, err := p.try("reload", "/host=h1"); return err == nil })
	p.do("shutdown", "/host=h1", "restart", true)
	p.do("shutdown", "/host=h1")
	mu.Lock()
	got := strings.Join(orders, " ")
	mu.Unlock()
	if want := `host-reload{} host-shutdown{"restart":true} host-shutdown{}`; got != want {
		t.Errorf("orders %s, want %s", got, want)
	}
	if _, err := p.try("reload", "/host=nobody"); !problem.Is(err, problem.NotFound) || !strings.Contains(err.Error(), "h1") {
		t.Errorf("a host that is not there: %v", err)
	}
}

func TestAStopBecomesTheAutoStartOfAServerThatWantsItSo(t *testing.T) {
	p := start(t, controller.Config{})
	p.furnish()
	p.join(&hosttest.Agent{Name: "h1", Operations: hostOperations(t, "h1", "s1", "s2")})
	until(t, "the servers are reported", func() bool { _, err := p.try("read-resource", "/host=h1/server=s2"); return err == nil })
	p.do("write-attribute", "/host=h1/server-config=s1", "name", "update-auto-start-with-server-status", "value", true)
	autoStart := func(server string) any {
		return p.do("read-attribute", "/host=h1/server-config="+server, "name", "auto-start").Result
	}
	p.do("stop-servers", "")
	if one, two := autoStart("s1"), autoStart("s2"); one != false || two != true {
		t.Errorf("after the stop auto-start of s1 is %v, of s2 %v; want false and true", one, two)
	}
	p.do("start", "/host=h1/server-config=s1")
	if one := autoStart("s1"); one != true {
		t.Errorf("after the start auto-start of s1 is %v", one)
	}
	for _, name := range []string{"kill-servers", "destroy-servers", "suspend-servers", "resume-servers", "reload-servers", "restart-servers", "start-servers"} {
		for _, at := range []string{"", "/server-group=web", "/host=h1"} {
			if _, err := p.try(name, at); err != nil {
				t.Errorf("%s:%s: %v", at, name, err)
			}
		}
	}
}
