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
// a server that answered fewer is judged as if it had answered so many, or one
// bad answer of two would be a rate of 50 percent.
const leastSample = 20

// faults says whether a server answered too many requests with 5xx since it was
// began. Counts begin anew with each process.
func faults(began, now *hostlink.ServerStatus, maxRate *float64) error {
	if maxRate == nil {
		return nil
	}
	requests, failed := now.GetUsage().GetRequests(), now.GetUsage().GetErrors()
	if before := began.GetUsage(); began.GetPid() == now.GetPid() && before.GetRequests() <= requests && before.GetErrors() <= failed {
		requests, failed = requests-before.GetRequests(), failed-before.GetErrors()
	}
	rate := 100 * float64(failed) / float64(max(requests, leastSample))
	if rate <= *maxRate {
		return nil
	}
	return problem.Precondition.Errorf("it answered %d of %d requests with 5xx; %v percent may be (of %d requests or more)", failed, requests, *maxRate, leastSample)
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
