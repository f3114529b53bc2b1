package observe_test

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// grant gives the servers ACLs in a phase, and returns the Secret of their tokens.
func (w *world) grant(phase v1alpha1.ACLPhase) *corev1.Secret {
	w.t.Helper()
	w.cluster.Annotations[v1alpha1.AnnotationACLs] = string(phase)
	w.cluster.Annotations[v1alpha1.AnnotationRecordsOf] = string(clusterUID)
	for _, pod := range w.pods {
		pod.Annotations = map[string]string{v1alpha1.AnnotationACLs: string(phase)}
		pod.Spec.Volumes = []corev1.Volume{{Name: "operator-acl-tokens"}}
	}
	tokens := resources.TokensSecret(w.cluster, resources.ManagementTokens{Present: "management"})
	w.others = append(w.others, tokens)
	return tokens
}

// Where nobody is denied anything, a token that was not made would be refused, and none is not.
func TestTokensOfCalls(t *testing.T) {
	operator := resources.Token("management", resources.RoleOperator).Secret
	for name, test := range map[string]struct {
		phase    v1alpha1.ACLPhase
		change   func(w *world, tokens *corev1.Secret)
		operator string
		hasAgent bool
	}{
		"before tokens were made, all is allowed": {v1alpha1.ACLsAllow, func(*world, *corev1.Secret) {}, "", true},
		"once they were made": {
			v1alpha1.ACLsAllow, func(_ *world, tokens *corev1.Secret) { resources.SetTokensMade(tokens, now) }, operator, true,
		},
		"nothing is allowed without": {v1alpha1.ACLsDeny, func(*world, *corev1.Secret) {}, operator, true},
		"a server that started before": {
			v1alpha1.ACLsDeny, func(w *world, _ *corev1.Secret) { w.pods[0].Spec.Volumes = nil }, "", false,
		},
		"the annotation of the pod was taken away": {
			v1alpha1.ACLsDeny, func(w *world, _ *corev1.Secret) { w.pods[0].Annotations = nil }, "", true,
		},
		"the Secret is another's": {
			v1alpha1.ACLsDeny, func(_ *world, tokens *corev1.Secret) { tokens.OwnerReferences = nil }, "", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.change(w, w.grant(test.phase))
			target := w.look().Target("consul-0")
			w.Expect(target.Token).To(Equal(test.operator))
			if test.hasAgent {
				w.Expect(target.AgentToken).NotTo(BeEmpty())
			} else {
				w.Expect(target.AgentToken).To(BeEmpty())
			}
		})
	}
}

// While servers may not have read the present tokens, their agents are called with the former ones as well.
func TestTheRotationOfTokensIsSeen(t *testing.T) {
	w := newWorld(t)
	secret := w.grant(v1alpha1.ACLsDeny)
	holds := func(tokens resources.ManagementTokens) plan.TokenRotation {
		t.Helper()
		resources.SetTokens(secret, tokens)
		secret.Data = resources.Cached(secret)
		w.others = []client.Object{secret, resources.ManagementSecret(w.cluster, tokens)}
		seen := w.look()
		former := ""
		if len(tokens.Former) > 0 {
			former = resources.Token(tokens.Former[0], resources.RoleRecovery).Secret
		}
		w.Expect(seen.Target("consul-0").AgentToken).To(Equal(resources.Token(tokens.Present, resources.RoleRecovery).Secret))
		w.Expect(seen.Target("consul-0").FormerAgentToken).To(Equal(former))
		return seen.Spec.ACLs.Rotation
	}
	w.cluster.Spec.ACLs.DNS = true
	w.Expect(w.look().Spec.ACLs).To(And(HaveField("DNS", true), HaveField("DNSGranted", false)))
	resources.SetDNSGranted(secret, true)
	w.Expect(w.look().Spec.ACLs.DNSGranted).To(BeTrue())
	resources.SetTokensChanged(secret, now)
	shownAt, since := now.Add(secretDelay), plan.Replacement{Since: now}
	w.Expect(holds(resources.ManagementTokens{Present: "1"})).To(Equal(plan.TokenRotation{Replacement: since, ShownAt: shownAt}))
	w.cluster.Annotations[v1alpha1.AnnotationRotateTokens] = "today"
	w.Expect(holds(resources.ManagementTokens{Present: "1"}).Replacement.Asked).To(BeTrue())
	resources.SetRotatedFor(secret, w.cluster, v1alpha1.AnnotationRotateTokens)
	w.Expect(holds(resources.ManagementTokens{Present: "1", Next: "2"})).
		To(Equal(plan.TokenRotation{Stage: plan.TokensComing, Replacement: since, ShownAt: shownAt}))
	w.Expect(holds(resources.ManagementTokens{Present: "2", Former: []string{"1"}}).Stage).To(Equal(plan.TokensGoing))
	resources.SetTokensRevoked(secret, 3)
	w.Expect(holds(resources.ManagementTokens{Present: "2", Former: []string{"1"}})).
		To(Equal(plan.TokenRotation{Stage: plan.TokensRevoked, Replacement: since, ShownAt: shownAt, RevokedIn: 3}))
	for _, another := range [][]client.Object{
		{secret}, {secret, resources.ManagementSecret(w.cluster, resources.ManagementTokens{Present: "2"})},
	} {
		w.others = another
		w.Expect(w.look().Spec.ACLs.Rotation.Uncopied).To(BeTrue())
	}
}

// Without its tokens, the operator cannot ask whether somebody leads.
func TestTokensThatAreMissing(t *testing.T) {
	w := newWorld(t)
	tokens := w.grant(v1alpha1.ACLsDeny)
	w.Expect(w.look().Spec.ACLs.Missing).To(BeFalse())
	delete(tokens.Data, "operator")
	w.Expect(w.look().Spec.ACLs.Missing).To(BeTrue(), "one of them")
	w.others = nil
	w.Expect(w.look().Spec.ACLs.Missing).To(BeTrue(), "the Secret")
	w.cluster.Annotations[v1alpha1.AnnotationACLs] = string(v1alpha1.ACLsOff)
	for _, pod := range w.pods {
		pod.Spec.Volumes = nil
	}
	w.Expect(w.look().Spec.ACLs.Missing).To(BeFalse(), "nobody needs them")
}

// What a leader refuses, or leaves out, is not known, and asks for a token.
func TestALeaderThatRefusesTheToken(t *testing.T) {
	refuses := func(a *agent) { a.refuses = true }
	for name, test := range map[string]struct {
		phase   v1alpha1.ACLPhase
		change  func(a *agent)
		refused string
	}{
		"it does":                  {v1alpha1.ACLsDeny, refuses, "consul-0"},
		"it leaves out what it is": {v1alpha1.ACLsDeny, func(a *agent) { a.serf = a.serf[1:] }, "consul-0"},
		"it does not answer":       {v1alpha1.ACLsDeny, func(a *agent) { a.silent["peers"] = true }, ""},
		"it was given none, and who has none may not": {v1alpha1.ACLsAllow, refuses, "consul-0"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.grant(test.phase)
			test.change(w.agent(0))
			s := w.look()
			w.Expect(s.Raft.Known).To(BeFalse())
			w.Expect(s.Spec.ACLs.RefusedBy).To(Equal(test.refused))
		})
	}
}

func TestTargetOfACLs(t *testing.T) {
	const off, allow, deny = plan.ACLsOff, plan.ACLsAllow, plan.ACLsDeny
	for name, test := range map[string]struct {
		spec   v1alpha1.ACLs
		phase  v1alpha1.ACLPhase
		target plan.ACLPhase
	}{
		"nothing is said":                 {v1alpha1.ACLs{}, "", off},
		"nothing is said of those it has": {v1alpha1.ACLs{}, v1alpha1.ACLsDeny, deny},
		"a running cluster allows":        {v1alpha1.ACLs{Enabled: new(true)}, "", allow},
		"until a person says deny":        {v1alpha1.ACLs{Enabled: new(true), DefaultPolicy: "deny"}, v1alpha1.ACLsAllow, deny},
		"which it goes on doing":          {v1alpha1.ACLs{Enabled: new(true)}, v1alpha1.ACLsDeny, deny},
		"or allow again":                  {v1alpha1.ACLs{DefaultPolicy: "allow"}, v1alpha1.ACLsDeny, allow},
		"off":                             {v1alpha1.ACLs{Enabled: new(false), DefaultPolicy: "deny"}, v1alpha1.ACLsDeny, off},
		"a policy alone asks for no ACLs": {v1alpha1.ACLs{DefaultPolicy: "deny"}, "", off},
		"nothing is said, and it allows":  {v1alpha1.ACLs{}, v1alpha1.ACLsAllow, allow},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if test.phase != "" {
				w.grant(test.phase)
			}
			w.cluster.Spec.ACLs = test.spec
			w.Expect(w.look().Spec.ACLs.Target).To(Equal(test.target))
		})
	}
}

// I6: a new cluster denies by default without a word, since there is nobody to be told before. Any other one stays as it is.
func TestNewClustersHaveACLs(t *testing.T) {
	asks := func(acls v1alpha1.ACLs) func(*world) { return func(w *world) { w.cluster.Spec.ACLs = acls } }
	with := func(config string) func(*world) {
		return func(w *world) { w.cluster.Spec.Config = &v1alpha1.Config{Raw: []byte(config)} }
	}
	had := func(annotation, value string) func(*world) {
		return func(w *world) {
			w.cluster.Annotations = map[string]string{annotation: value, v1alpha1.AnnotationRecordsOf: string(clusterUID)}
		}
	}
	for name, test := range map[string]struct {
		change func(*world)
		target plan.ACLPhase
	}{
		"without a word":              {asks(v1alpha1.ACLs{}), plan.ACLsDeny},
		"asked for":                   {asks(v1alpha1.ACLs{Enabled: new(true)}), plan.ACLsDeny},
		"all is to be allowed":        {asks(v1alpha1.ACLs{DefaultPolicy: "allow"}), plan.ACLsAllow},
		"not wanted":                  {asks(v1alpha1.ACLs{Enabled: new(false)}), plan.ACLsOff},
		"with ACLs of its own":        {with(`{"acl": {"enabled": true}}`), plan.ACLsOff},
		"with other settings of them": {with(`{"acl": {"token_ttl": "30s"}}`), plan.ACLsDeny},
		"one of several datacenters":  {with(`{"ports": {"serf_wan": 8302}}`), plan.ACLsOff},
		"one that had a leader":       {had(v1alpha1.AnnotationBootstrapped, "then"), plan.ACLsOff},
		"one that was switched off":   {had(v1alpha1.AnnotationACLs, string(v1alpha1.ACLsOff)), plan.ACLsOff},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.claims, w.pods, w.cluster.Annotations = nil, nil, nil
			test.change(w)
			w.Expect(w.look().Spec.ACLs.Target).To(Equal(test.target))
		})
	}
}
