package plugin

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// perServer is how long it takes until a server has moved: 16 to 20 s until the other one votes, and then its leave.
const perServer = 30 * time.Second

// foresight says what a drain would meet, and reports whether it would wait for a person.
func (d draining) foresight() (text string, needsPerson bool) {
	var parts []string
	servers := 0
	slices.SortFunc(d.clusters, func(a, b v1alpha1.ConsulCluster) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for i := range d.clusters {
		c := &d.clusters[i]
		leaving := d.leaving(c)
		if len(leaving) == 0 {
			continue
		}
		part, waits := d.ofCluster(c, leaving)
		parts, servers, needsPerson = append(parts, part), servers+len(leaving), needsPerson || waits
	}
	limits := ""
	if d.only != "" {
		limits = " Only namespace " + d.only + " was looked at: you may not list the others."
	}
	if len(parts) == 0 {
		return wrapped(fmt.Sprintf("No server of a ConsulCluster runs on %s: the operator does not hold up its "+
			"drain.%s", d.name, limits),
			0) + "\n", false
	}
	head := fmt.Sprintf("%s has %s of %s.%s", d.name,
		plural(int32(servers), "server"), plural(int32(len(parts)), "ConsulCluster"), limits) //nolint:gosec // a handful
	if d.isCordoned() {
		head += " The node is cordoned already, so the operator moves them now."
	}
	tail := "Only the scheduler knows whether a node takes a server: how much room it has, and which volumes it reaches, was " +
		"not looked at."
	return wrapped(head, 0) + "\n\n" + strings.Join(parts, "\n") + "\n" + wrapped(tail, 0) + "\n", needsPerson
}

func (d draining) isCordoned() bool {
	return slices.ContainsFunc(d.nodes, func(n corev1.Node) bool { return n.Name == d.name && resources.Cordoned(&n) })
}

// leaving are the servers on the node, in the order in which the operator moves them: those without a vote, then those that are
// not healthy, the older ones first, and the leader last.
func (d draining) leaving(c *v1alpha1.ConsulCluster) (servers []v1alpha1.ServerStatus) {
	for _, pod := range d.podsOf(c) {
		if pod.Spec.NodeName != d.name {
			continue
		}
		server := v1alpha1.ServerStatus{Name: pod.Name}
		if i := slices.IndexFunc(c.Status.Servers, func(s v1alpha1.ServerStatus) bool { return s.Name == pod.Name }); i >= 0 {
			server = c.Status.Servers[i]
		}
		servers = append(servers, server)
	}
	rank := func(s v1alpha1.ServerStatus) int {
		switch {
		case s.Leader:
			return 3
		case s.Voter && s.State == v1alpha1.ServerServing:
			return 2
		case s.Voter:
			return 1
		}
		return 0
	}
	serial := func(s v1alpha1.ServerStatus) int { n, _ := resources.Serial(c.Name, s.Name); return n }
	slices.SortFunc(servers, func(a, b v1alpha1.ServerStatus) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(serial(a), serial(b)))
	})
	return servers
}

// ofCluster says what becomes of one cluster.
func (d draining) ofCluster(c *v1alpha1.ConsulCluster, leaving []v1alpha1.ServerStatus) (text string, needsPerson bool) {
	var b strings.Builder
	why := saying(c)
	if isReady(c) {
		why = "Ready"
	}
	fmt.Fprintf(&b, "%s in namespace %s\n%s\n", c.Name, c.Namespace, wrapped(why, 2))
	say := numbered(&b)
	for _, server := range leaving {
		switch {
		case c.Spec.Replicas == 1:
			say("%s, the only server", server.Name)
		case server.Leader:
			say("%s, which leads", server.Name)
		default:
			say("%s", server.Name)
		}
	}
	for _, v := range d.verdicts(c, len(leaving)) {
		lead := ""
		if v.needsPerson {
			lead, needsPerson = "Needs you: ", true
		}
		fmt.Fprintln(&b, wrapped(lead+v.text, 2))
	}
	return b.String(), needsPerson
}

// verdict is something that a drain would meet.
type verdict struct {
	text        string
	needsPerson bool
}

// verdicts are what a drain of so many servers of a cluster would meet.
func (d draining) verdicts(c *v1alpha1.ConsulCluster, servers int) []verdict {
	switch {
	case c.Spec.Paused:
		return d.ofPaused(c, servers)
	case meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionStalled):
		return []verdict{{fmt.Sprintf("servers may not move before the cluster is repaired: kubectl consul explain %s -n %s",
			c.Name, c.Namespace), true}}
	case d.letsGo(c):
		return ofUnwatched(c)
	}
	var all []verdict
	if !isReady(c) {
		all = append(all, verdict{text: "The cluster is not Ready: servers move once it is, and the drain waits."})
	}
	return append(all, d.ofRoom(c, servers)...)
}

// ofPaused: no server is replaced, and one at a time is evicted while all serve.
func (d draining) ofPaused(c *v1alpha1.ConsulCluster, servers int) []verdict {
	resume := fmt.Sprintf("kubectl consul resume %s -n %s", c.Name, c.Namespace)
	switch {
	case c.Spec.Replicas == 1:
		return []verdict{{"the cluster is paused, and its only server is never evicted: " + resume, true}}
	case servers > 1:
		return []verdict{{"the cluster is paused: no server is replaced. One is evicted, and the next one when the first one is " +
			"back: " + resume, true}}
	}
	return []verdict{{text: "The cluster is paused: no server is replaced. This one is evicted while all others serve, and " +
		"comes back on its volume."}}
}

// ofUnwatched: the operator does not look at nodes.
func ofUnwatched(c *v1alpha1.ConsulCluster) []verdict {
	if c.Spec.Replicas == 1 {
		return []verdict{{"the operator does not watch nodes (watchNodes), and the only server is never evicted: if it may be " +
			"away, delete its pod", true}}
	}
	return []verdict{{text: "The operator seems not to watch nodes (watchNodes): nothing moves before. One server at a time is " +
		"evicted, and comes back on its volume."}}
}

// ofRoom is about the nodes that could take a server.
func (d draining) ofRoom(c *v1alpha1.ConsulCluster, servers int) []verdict {
	if d.nodes == nil {
		return []verdict{{text: "You may not list nodes, so it is not known whether another one takes a server. " + pace(servers)}}
	}
	fit, unfit := d.fitting(c)
	if len(fit) > 0 {
		return []verdict{{text: "For each, in this order, another server becomes a voter first, and one that leads hands " +
			"leadership over. Nodes that may take one: " + someOf(fit) + ". " + pace(servers)}}
	}
	none := "no other node takes a server" + because(unfit)
	if len(unfit) == 0 {
		none = "there is no other node"
	}
	switch {
	case c.Spec.Replicas == 1:
		return []verdict{{none + ". The only server is never evicted: give it a node, or, if it may be away, delete its pod", true}}
	case servers > 1:
		return []verdict{{none + ". One server is evicted, and the next one stays until another node takes one: add a node, " +
			"uncordon one, or relax the rules", true}}
	}
	return []verdict{{text: strings.ToUpper(none[:1]) + none[1:] + ". The server is evicted all the same, leadership is handed " +
		"over before if it leads, and it comes back with its node. Until then the cluster has one server fewer."}}
}

// because counts the nodes that take no server.
func because(unfit map[string]int) string {
	var reasons []string
	for _, why := range unfits {
		if n := unfit[why]; n > 0 {
			reasons = append(reasons, fmt.Sprintf("%d %s", n, why))
		}
	}
	if len(reasons) == 0 {
		return ""
	}
	return " (" + strings.Join(reasons, ", ") + ")"
}

// pace is how long it takes.
func pace(servers int) string {
	switch servers {
	case 1:
		return "It takes about half a minute."
	case 2:
		return "It takes about a minute."
	}
	return fmt.Sprintf("It takes about %g minutes.", (time.Duration(servers) * perServer).Minutes())
}
