package execute_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// consulTokens are the tokens that Consul has, and what they may do.
type consulTokens struct {
	policies  map[string]string
	anonymous consul.Policy
	// read is whether servers have read the file with theirs, and err what each call fails with.
	read bool
	err  error
}

// tokenClient calls a leader with a token.
type tokenClient struct {
	consul.Agent
	all   *consulTokens
	token string
}

func (c tokenClient) manage(change func()) error {
	if c.all.err != nil {
		return c.all.err
	}
	if c.all.policies[c.token] != "global-management" {
		return consul.ErrForbidden
	}
	change()
	return nil
}

func (c tokenClient) MakeToken(_ context.Context, t consul.Token) error {
	return c.manage(func() { c.all.policies[t.Secret] = t.Policy.Name })
}

func (c tokenClient) RevokeToken(_ context.Context, secret string) error {
	return c.manage(func() {
		if _, has := c.all.policies[secret]; has {
			c.all.policies[secret] = ""
		}
	})
}

func (c tokenClient) DeleteToken(_ context.Context, secret string) error {
	return c.manage(func() { delete(c.all.policies, secret) })
}

func (c tokenClient) GrantAnonymous(_ context.Context, p consul.Policy) error {
	return c.manage(func() { c.all.anonymous = p })
}

func (c tokenClient) Reload(context.Context) error { return c.all.err }

func (c tokenClient) Self(context.Context) (consul.Self, error) {
	return consul.Self{UsesFormerToken: !c.all.read}, c.all.err
}

// tokenWorld is a cluster whose leader has made the tokens.
func tokenWorld(t *testing.T) (*world, *consulTokens) {
	t.Helper()
	w, _ := granted(t)
	all := &consulTokens{policies: map[string]string{w.management(t): "global-management"}}
	w.executor.Dial = func(to consul.Target) consul.Agent { return tokenClient{all: all, token: to.Token} }
	w.seen.Raft = plan.Raft{Known: true, Leader: "consul-0", Term: 7}
	w.do(t, plan.MakeTokens{Leader: "consul-0"})
	w.seeTokens(t)
	return w, all
}

func (w *world) management(t *testing.T) string {
	t.Helper()
	return string(w.secret(t, "consul-bootstrap-acl-token").Data["token"])
}

// take takes a step of the rotation, as often as it has to be repeated after a crash.
func (w *world) take(t *testing.T, step plan.TokenStep) {
	t.Helper()
	w.seen.Raft = plan.Raft{Known: true, Leader: "consul-0", Term: 7}
	w.do(t, plan.RotateTokens{Step: step})
	w.seeTokens(t)
	_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(failures).To(BeEmpty())
	w.seeTokens(t)
	w.Expect(w.seen.Spec.ACLs.Rotation.Uncopied).To(BeFalse(), "either Secret can be made from the other")
}

func (w *world) stage() resources.TokenStage { return resources.TokenStageOf(w.seen.TokensSecret) }

func TestTheRotationOfTokens(t *testing.T) {
	w, all := tokenWorld(t)
	former := w.management(t)
	own := func(management string) []string {
		return []string{
			resources.Token(management, resources.RoleOperator).Secret, resources.Token(management, resources.RoleServers).Secret,
			resources.Token(management, resources.RoleMetrics).Secret,
		}
	}
	known := func() []string { return slices.Collect(maps.Keys(all.policies)) }

	w.seen.Cluster.Annotations[v1alpha1.AnnotationRotateTokens] = "today"
	w.take(t, plan.GenerateTokens)
	w.Expect(w.stage()).To(Equal(resources.TokensComing))
	w.Expect(w.seen.TokensSecret.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRotatedFor, "today"))
	w.Expect(w.management(t)).To(Equal(former), "nobody has another one yet")
	w.Expect(known()).To(ConsistOf(append(own(former), former)))

	w.take(t, plan.PromoteTokens)
	present := w.management(t)
	w.Expect(w.stage()).To(Equal(resources.TokensGoing))
	w.Expect(present).NotTo(Equal(former), "people are told in the same pass")
	w.Expect(string(w.seen.TokensSecret.Data["servers.json"])).To(ContainSubstring(present))
	w.Expect(known()).To(ConsistOf(slices.Concat(own(former), own(present), []string{former, present})), "I11 Consul knows both")
	w.Expect(all.policies).To(And(HaveKeyWithValue(present, "global-management"), HaveKeyWithValue(former, "global-management")))

	_, err := w.executor.Do(t.Context(), w.seen, plan.ReadTokens{Server: "consul-1"})
	w.Expect(err).To(MatchError(ContainSubstring("consul-1: the kubelet has not written its ACL tokens yet")))
	all.read = true
	w.do(t, plan.ReadTokens{Server: "consul-1"})

	w.take(t, plan.RevokeTokens)
	w.Expect(w.stage()).To(Equal(resources.TokensRevoked))
	w.Expect(resources.TokensRevokedIn(w.seen.TokensSecret)).To(Equal(uint64(7)))
	w.Expect(all.policies).To(HaveKeyWithValue(former, ""), "it is there, so that nobody makes it again")
	w.Expect(known()).To(ConsistOf(append(own(present), former, present)))

	w.take(t, plan.ForgetTokens)
	w.Expect(w.stage()).To(Equal(resources.TokensSettled))
	w.Expect(known()).To(ConsistOf(append(own(present), present)))
	w.Expect(w.management(t)).To(Equal(present))
}

// The next token is the same one after a crash: otherwise Consul would keep one that nobody knows.
func TestTokensThatConsulDoesNotTake(t *testing.T) {
	w, all := tokenWorld(t)
	w.take(t, plan.GenerateTokens)
	next := string(w.seen.TokensSecret.Data["next-token"])
	all.err = errors.New("no answer")
	_, err := w.executor.Do(t.Context(), w.seen, plan.RotateTokens{Step: plan.PromoteTokens})
	w.Expect(err).To(MatchError(all.err))
	all.err = nil
	w.seeTokens(t)
	w.Expect(w.stage()).To(Equal(resources.TokensComing))
	w.take(t, plan.PromoteTokens)
	w.Expect(w.management(t)).To(Equal(next))
}

// A snapshot that is older than the rotation has the former tokens: they make the present ones, and are revoked once more.
func TestASnapshotOfBeforeTheRotation(t *testing.T) {
	w, all := tokenWorld(t)
	before := maps.Clone(all.policies)
	w.take(t, plan.GenerateTokens)
	w.take(t, plan.PromoteTokens)
	w.take(t, plan.RevokeTokens)
	all.policies = before
	w.seen.Spec.ACLs.Rotation.Stage = plan.TokensRevoked
	w.do(t, plan.MakeTokens{Leader: "consul-0"})
	w.seeTokens(t)
	w.Expect(all.policies).To(HaveKeyWithValue(w.management(t), "global-management"))
	w.Expect(w.stage()).To(Equal(resources.TokensGoing))
	w.take(t, plan.RevokeTokens)
	w.Expect(slices.Collect(maps.Values(all.policies))).To(ConsistOf(
		"", "global-management", "consul-operator", "consul-operator-servers", "consul-operator-metrics"))

	all.policies = nil
	_, err := w.executor.Do(t.Context(), w.seen, plan.MakeTokens{Leader: "consul-0"})
	w.Expect(err).To(MatchError(consul.ErrForbidden))
	w.Expect(err).To(MatchError(ContainSubstring("delete its pod")))
}

// On an old picture there would be a token that nobody knows.
func TestARotationOfTokensOnAnOldPicture(t *testing.T) {
	w, _ := tokenWorld(t)
	old := w.seen.TokensSecret
	w.take(t, plan.GenerateTokens)
	w.seen.TokensSecret = old
	for _, seen := range []*corev1.Secret{old, nil} {
		w.seen.TokensSecret = seen
		_, err := w.executor.Do(t.Context(), w.seen, plan.RotateTokens{Step: plan.GenerateTokens})
		w.Expect(err).To(MatchError(execute.ErrStale))
	}
}

func TestDNSIsGranted(t *testing.T) {
	w, all := tokenWorld(t)
	for _, granted := range []bool{true, false} {
		w.seen.Raft = plan.Raft{Known: true, Leader: "consul-0", Term: 7}
		w.do(t, plan.GrantDNS{Granted: granted})
		w.seeTokens(t)
		w.Expect(all.anonymous.Name).To(Equal("consul-operator-dns"))
		w.Expect(all.anonymous.Rules).To(Equal(map[bool]string{true: resources.RulesDNS}[granted]))
		w.Expect(resources.IsDNSGranted(w.seen.TokensSecret)).To(Equal(granted))
	}
	resources.SetDNSGranted(w.seen.TokensSecret, true)
	resources.SetTokensMade(w.seen.TokensSecret, time.Now())
	w.Expect(resources.IsDNSGranted(w.seen.TokensSecret)).To(BeFalse(), "the snapshot that had no tokens had no such policy")
}

// Whichever Secret is lost at whichever stage, the rotation goes on where it was.
func TestASecretThatIsLostDuringTheRotationOfTokens(t *testing.T) {
	steps := []plan.TokenStep{plan.GenerateTokens, plan.PromoteTokens, plan.RevokeTokens}
	for _, lost := range []string{"consul-acl-tokens", "consul-bootstrap-acl-token"} {
		for i := range steps {
			t.Run(fmt.Sprintf("%s after %s", lost, steps[i]), func(t *testing.T) {
				w, all := tokenWorld(t)
				former := w.management(t)
				for _, step := range steps[:i+1] {
					w.take(t, step)
				}
				before, err := resources.ManagementTokensOf(w.seen.TokensSecret)
				w.Expect(err).NotTo(HaveOccurred())
				w.Expect(w.client.Delete(t.Context(), w.secret(t, lost))).To(Succeed())
				w.seen.Spec.ACLs.Rotation.Uncopied = true
				_, _, err = w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
				w.Expect(err).NotTo(HaveOccurred())
				w.seeTokens(t)
				w.Expect(resources.ManagementTokensOf(w.seen.TokensSecret)).To(Equal(before))
				for _, step := range append(steps[i+1:], plan.RevokeTokens, plan.ForgetTokens) {
					w.take(t, step)
				}
				w.Expect(all.policies).To(And(HaveLen(4), Not(HaveKey(former))))
			})
		}
	}
}

// A management token that somebody has deleted is made again by the former one, before that one is revoked.
func TestAManagementTokenThatIsLostDuringTheRotation(t *testing.T) {
	w, all := tokenWorld(t)
	former := w.management(t)
	w.take(t, plan.GenerateTokens)
	w.take(t, plan.PromoteTokens)
	delete(all.policies, w.management(t))
	w.take(t, plan.RevokeTokens)
	w.Expect(all.policies).To(And(HaveKeyWithValue(w.management(t), "global-management"), HaveKeyWithValue(former, "")))
}

// A person brings the first management token, and another one later.
func TestATokenThatAUserProvides(t *testing.T) {
	first, second := resources.ManagementTokens{Present: "first"}, resources.ManagementTokens{Present: "second"}
	w := newWorld(t)
	w.seen.Cluster.Spec.ACLs.ManagementTokenSecretRef = &v1alpha1.SecretKey{Name: "mine"}
	w.Expect(w.client.Update(t.Context(), w.seen.Cluster)).To(Succeed())
	w.seen.UserSecrets.Tokens = first
	w.do(t, plan.SetACLs{Phase: plan.ACLsDeny})
	w.seeTokens(t)
	w.Expect(w.management(t)).To(Equal("first"))
	w.seen.UserSecrets.Tokens = second
	w.take(t, plan.GenerateTokens)
	w.Expect(resources.ManagementTokensOf(w.seen.TokensSecret)).
		To(Equal(resources.ManagementTokens{Present: "first", Next: "second"}))
}
