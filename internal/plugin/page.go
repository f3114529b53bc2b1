package plugin

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

//go:embed page.html
var pageTemplate string

// page is what the template writes down.
type page struct {
	Name, Namespace, When string
	Good                  bool
	Verdict, Message      string
	Cards                 []card
	Timeline              timeline
	Servers               []serverRow
	Conditions            []conditionRow
	Troubles              []trouble
	Events                []eventRow
}

type card struct{ Name, Value, Note string }

type serverRow struct {
	Name, State, Role, Version, Revision, Zone, Node, Volume, Age, Message string
	Bad                                                                    bool
}

type conditionRow struct{ Type, Status, Reason, Message, Since string }

// trouble is what was tried in vain, or on what not all agree.
type trouble struct{ What, Words string }

type eventRow struct {
	At, Reason, About, Message string
	Warning                    bool
}

// page is the report as one HTML page that fetches nothing and runs nothing.
func (e *evidence) page(r *redactor) (string, error) {
	t, err := template.New("page").Funcs(template.FuncMap{
		"px": func(v float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") },
	}).Parse(pageTemplate)
	if err != nil {
		return "", err
	}
	shown, err := e.newPage(r)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	err = t.Execute(&b, shown)
	return b.String(), err
}

func (e *evidence) newPage(r *redactor) (*page, error) {
	shown, err := r.picture(e.picture)
	if err != nil {
		return nil, err
	}
	clean, c := evidence{picture: shown, at: e.at, events: r.events(e.events)}, shown.ConsulCluster
	p := &page{
		Name: c.Name, Namespace: c.Namespace, When: clock(e.at), Good: isReady(c),
		Verdict: "The operator has not looked at it yet", Cards: clean.cards(),
		Servers: clean.serverRows(), Troubles: troubles(c), Timeline: clean.timeline(),
	}
	if ready := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
		p.Verdict, p.Message = ready.Reason, ready.Message
	}
	for _, condition := range c.Status.Conditions {
		p.Conditions = append(p.Conditions, conditionRow{
			condition.Type, string(condition.Status), condition.Reason, condition.Message, clock(condition.LastTransitionTime.Time),
		})
	}
	for _, event := range slices.Backward(clean.events) {
		p.Events = append(p.Events, eventRow{
			At: clock(happened(event)), Reason: event.Reason, Message: repeated(event), Warning: event.Type == corev1.EventTypeWarning,
			About: strings.ToLower(event.InvolvedObject.Kind) + "/" + event.InvolvedObject.Name,
		})
	}
	return p, nil
}

// repeated is the message of an event, and how often there was one.
func repeated(event corev1.Event) string {
	if event.Count > 1 {
		return fmt.Sprintf("%s (%d times)", event.Message, event.Count)
	}
	return event.Message
}

// clock is a time for people who may be elsewhere.
func clock(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format("2006-01-02 15:04:05 UTC")
}

func (e *evidence) cards() []card {
	st := e.Status
	version := card{"Consul", dash(st.Version), ""}
	if e.Spec.Version != st.Version {
		version.Note = "wanted " + e.Spec.Version
	}
	leader := card{"Leader", dash(st.Leader), ""}
	if st.LeaderSince != nil {
		leader.Note = fmt.Sprintf("for %s, term %d", ago(e.at, st.LeaderSince), st.Term)
	}
	snapshot := card{"Last good snapshot", "-", "none is known"}
	if e.saved != nil {
		snapshot.Value, snapshot.Note = ago(e.at, e.saved.Status.CompletedAt)+" ago", e.saved.Name
	}
	return []card{
		version,
		{"Serving", dash(st.Ready), ""},
		{"Voters", fmt.Sprint(st.Voters), fmt.Sprintf("%d may fail", st.FailureTolerance)},
		leader,
		{"Security", "TLS " + dash(string(st.TLS)), "gossip " + dash(string(st.GossipEncryption)) + ", ACLs " + dash(string(st.ACLs))},
		snapshot,
	}
}

func (e *evidence) serverRows() (rows []serverRow) {
	for _, s := range e.Status.Servers {
		pod := e.pods[s.Name]
		rows = append(rows, serverRow{
			Name: s.Name, State: dash(string(s.State)), Role: role(s), Version: dash(s.Version),
			Revision: dash(pod.Labels[v1alpha1.LabelRevision]), Zone: dash(e.zones[pod.Spec.NodeName]), Node: dash(pod.Spec.NodeName),
			Volume: used(s), Age: age(e.picture, s.Name, e.at), Message: s.Message, Bad: s.State != v1alpha1.ServerServing,
		})
	}
	return rows
}

func troubles(c *v1alpha1.ConsulCluster) (all []trouble) {
	for _, f := range c.Status.Failures {
		all = append(all, trouble{"Tried in vain: " + f.Attempt, f.Reason + ": " + f.Message})
	}
	for _, d := range c.Status.Disagreements {
		all = append(all, trouble{"Not all agree on " + d.Name, d.Problem + ". " + d.Action})
	}
	for _, condition := range c.Status.Conditions {
		isBad := condition.Type == v1alpha1.ConditionAvailable || condition.Type == v1alpha1.ConditionSecure ||
			condition.Type == v1alpha1.ConditionVolumeSpace
		if isBad && condition.Status == metav1.ConditionFalse {
			all = append(all, trouble{"Not " + condition.Type, condition.Reason + ": " + condition.Message})
		}
	}
	return all
}
