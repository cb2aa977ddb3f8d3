package rollout

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-idp/gatehouse/controller/publisher"
	"github.com/gatehouse-idp/gatehouse/internal/problem"
	"github.com/gatehouse-idp/gatehouse/proto/hostlink"
)

// leastSample is the number of answers that an error rate is at least taken of:
// before there are so many it is judged only at the end of the soak, and then as
// if there were, or one bad answer of two would be a rate of 50 percent.
const leastSample = 20

// balance is a number of requests and how many of them failed.
type balance struct{ requests, failed uint64 }

// since is what came after an earlier count; one that is above the later belongs
// to another process, or to an earlier life of it.
func (b balance) since(before balance) balance {
	if before.requests > b.requests || before.failed > b.failed {
		return b
	}
	return balance{b.requests - before.requests, b.failed - before.failed}
}

// excessive reports whether more failed than a rate (percent) allows.
func (b balance) excessive(maxRate float64, over bool) bool {
	if b.requests < leastSample && !over {
		return false
	}
	return 100*float64(b.failed)/float64(max(b.requests, leastSample)) > maxRate
}

// sight is what load balancers saw of one server: by balancer, "host/server pid".
type sight map[string]balance

// sightOf collects what all balancers of the domain say of a node. Requests that
// wait too long have failed.
func sightOf(hosts map[string]publisher.HostState, node string) sight {
	all := sight{}
	for _, h := range hosts {
		for _, s := range h.Servers {
			for _, b := range s.GetUsage().GetBackends() {
				if b.GetNode() == node && node != "" {
					overdue := uint64(b.GetOverdue())
					all[fmt.Sprintf("%s/%s %d", h.Name, s.Name, s.Pid)] = balance{b.GetRequests() + overdue, b.GetErrors() + overdue}
				}
			}
		}
	}
	return all
}

// since sums what was seen after an earlier look.
func (s sight) since(before sight) (sum balance) {
	for balancer, now := range s {
		one := now.since(before[balancer])
		sum.requests += one.requests
		sum.failed += one.failed
	}
	return sum
}

// answers is what a server itself counted since it was began: counts begin anew
// with each process. A balancer's answers are those of the servers behind it, and
// it is not judged by them.
func answers(began, now *hostlink.ServerStatus) balance {
	if len(now.GetUsage().GetBackends()) > 0 {
		return balance{}
	}
	count := func(s *hostlink.ServerStatus) balance {
		return balance{s.GetUsage().GetRequests(), s.GetUsage().GetErrors()}
	}
	if began.GetPid() != now.GetPid() {
		return count(now)
	}
	return count(now).since(count(began))
}

// faults says whether too much went wrong with a server since it was touched:
// what it answered itself, and what balancers saw of it, who also notice a server
// that answers nothing. over: the time to judge is at its end.
func faults(own, seen balance, maxRate *float64, over bool) error {
	switch {
	case maxRate == nil:
		return nil
	case own.excessive(*maxRate, over):
		return problem.Precondition.Errorf("it answered %d of %d requests with 5xx; %v percent may be (of %d requests or more)", own.failed, own.requests, *maxRate, leastSample)
	case seen.excessive(*maxRate, over):
		return problem.Precondition.Errorf("load balancers saw %d of %d requests to it fail (5xx, or no answer); %v percent may (of %d requests or more)", seen.failed, seen.requests, *maxRate, leastSample)
	}
	return nil
}

// apart says why the server's cluster, the servers of its group and site that are
// up, is not one yet; "" when it is. It is one when all of them see the same
// members, and all of them are among these.
func apart(hosts map[string]publisher.HostState, of *hostlink.ServerStatus) string {
	if len(of.Members) == 0 {
		return "it reports no members of a cluster (is there a socket binding named cluster?)"
	}
	seen := slices.Sorted(slices.Values(of.Members))
	var missing, others []string
	for _, h := range hosts {
		for _, s := range h.Servers {
			if !h.Connected || s.Group != of.Group || s.Site != of.Site || !up(s) {
				continue
			}
			if !slices.Contains(seen, s.Node) {
				missing = append(missing, s.Node)
			}
			if view := slices.Sorted(slices.Values(s.Members)); !slices.Equal(view, seen) {
				others = append(others, fmt.Sprintf("%s sees %v", s.Node, view))
			}
		}
	}
	slices.Sort(missing)
	slices.Sort(others)
	switch {
	case len(missing) > 0:
		return fmt.Sprintf("it sees %v, which lacks %s", seen, strings.Join(missing, ", "))
	case len(others) > 0:
		return fmt.Sprintf("it sees %v, but %s", seen, strings.Join(others, "; "))
	}
	return ""
}

// up reports whether a server is a member of its cluster as long as it is left
// alone. A suspended one is.
func up(s *hostlink.ServerStatus) bool {
	return s.State == "STARTED" && s.Healthy || s.State == "SUSPENDED"
}
