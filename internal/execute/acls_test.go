package execute_test

import (
	"context"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/execute"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// tokenMaker is an agent that makes tokens.
type tokenMaker struct {
	consul.Agent
	target consul.Target
	made   []consul.Token
	err    error
}

func (m *tokenMaker) MakeToken(_ context.Context, t consul.Token) error {
	m.made = append(m.made, t)
	return m.err
}

// granted is a cluster whose servers have ACLs, and the agent of its leader.
func granted(t *testing.T) (*world, *tokenMaker) {
	t.Helper()
	w, maker := newWorld(t), &tokenMaker{}
	w.executor.Dial = func(to consul.Target) consul.Agent {
		maker.target = to
		return maker
	}
	outcome := w.do(t, plan.SetACLs{Phase: plan.ACLsDeny})
	w.Expect(outcome.Event).To(Equal("ACLs go from Off to Deny"))
	w.Expect(w.annotations(t)).To(HaveKeyWithValue(v1alpha1.AnnotationACLs, "Deny"))
	w.seeTokens(t)
	return w, maker
}

func (w *world) seeTokens(t *testing.T) {
	t.Helper()
	w.look(t)
	w.seen.Spec.ACLs.Phase, w.seen.TokensSecret = plan.ACLsDeny, w.secret(t, "consul-acl-tokens")
	w.seen.Spec.ACLs.Made = resources.TokensMade(w.seen.TokensSecret)
	w.seen.Spec.ACLs.Rotation.Uncopied = !resources.HaveSameTokens(w.secret(t, "consul-bootstrap-acl-token"), w.seen.TokensSecret)
}

func TestTokensAreMadeByTheLeader(t *testing.T) {
	w, maker := granted(t)
	management := string(w.secret(t, "consul-bootstrap-acl-token").Data["token"])
	outcome := w.do(t, plan.MakeTokens{Leader: "consul-0"})
	w.Expect(outcome.Event).To(Equal("the ACL tokens of the operator and of the servers were made"))
	w.Expect(maker.target.Token).To(Equal(management))
	operator := resources.OperatorTokensOf(w.seen.TokensSecret).Operator
	w.Expect(maker.made).To(ConsistOf(
		And(HaveField("Policy.Name", "consul-operator"), HaveField("Secret", operator),
			HaveField("Policy.Rules", ContainSubstring("operator"))),
		And(HaveField("Policy.Name", "consul-operator-servers"), HaveField("Policy.Rules", ContainSubstring(`node_prefix "consul-"`))),
		And(HaveField("Policy.Name", "consul-operator-metrics"), HaveField("Policy.Rules", Equal(
			"agent_prefix \"consul-\" {\n  policy = \"read\"\n}\n")))))

	w.seeTokens(t)
	w.Expect(w.seen.Spec.ACLs.Made).To(BeTrue())
	version := w.seen.TokensSecret.ResourceVersion
	outcome = w.do(t, plan.MakeTokens{Leader: "consul-0"})
	w.Expect(outcome.Event).To(HaveSuffix("were missing, and were made again"))
	w.Expect(w.secret(t, "consul-acl-tokens").ResourceVersion).To(Equal(version), "nothing is written twice")
}

func TestRefusedTokensAreNotRecordedAsMade(t *testing.T) {
	w, maker := granted(t)
	maker.err = fmt.Errorf("ACL policy: %w", consul.ErrForbidden)
	_, err := w.executor.Do(t.Context(), w.seen, plan.MakeTokens{Leader: "consul-0"})
	w.Expect(err).To(MatchError(consul.ErrForbidden))
	w.Expect(resources.TokensMade(w.secret(t, "consul-acl-tokens"))).To(BeFalse())
	w.seen.TokensSecret = nil
	_, err = w.executor.Do(t.Context(), w.seen, plan.MakeTokens{Leader: "consul-0"})
	w.Expect(err).To(MatchError(execute.ErrStale))
}

// Each of the Secrets can be made from the other one, with the tokens that servers have. Without both, none is made up: servers
// would not know it. A user may have found it.
func TestTokensThatAreLost(t *testing.T) {
	const management, tokens = "consul-bootstrap-acl-token", "consul-acl-tokens"
	for name, lost := range map[string][]string{"one": {management}, "the other": {tokens}, "both": {management, tokens}} {
		t.Run(name, func(t *testing.T) {
			w, _ := granted(t)
			before := []map[string][]byte{w.secret(t, management).Data, w.secret(t, tokens).Data}
			for _, name := range lost {
				w.Expect(w.client.Delete(t.Context(), w.secret(t, name))).To(Succeed())
				if name == tokens {
					w.seen.TokensSecret = nil
				}
				w.seen.Spec.ACLs.Rotation.Uncopied = true
			}
			_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
			w.Expect(err).NotTo(HaveOccurred())
			if len(lost) < 2 {
				w.Expect(failures).To(BeEmpty())
			} else {
				w.Expect(failures).To(ContainElement(HaveField("Problem.Message",
					ContainSubstring("restore the Secret consul-acl-tokens or consul-bootstrap-acl-token from a backup"))))
				w.seen.Cluster.Spec.ACLs.ManagementTokenSecretRef = &v1alpha1.SecretKey{Name: "mine"}
				w.seen.UserSecrets.Tokens = resources.ManagementTokens{Present: string(before[0]["token"])}
				w.carryOut(t, plan.Decision{}) // it was found in a server
			}
			w.Expect([]map[string][]byte{w.secret(t, management).Data, w.secret(t, tokens).Data}).To(Equal(before))
		})
	}
}

// A token that somebody planted is not used.
func TestATokenThatIsNotOurs(t *testing.T) {
	w := newWorld(t)
	planted := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "consul-bootstrap-acl-token", Namespace: "default"},
		Data:       map[string][]byte{"token": []byte("known")},
	}
	w.Expect(w.client.Create(t.Context(), planted)).To(Succeed())
	_, err := w.executor.Do(t.Context(), w.seen, plan.SetACLs{Phase: plan.ACLsDeny})
	w.Expect(err).To(MatchError(ContainSubstring("set spec.acls.enabled to false")))
	w.Expect(w.annotations(t)).NotTo(HaveKey(v1alpha1.AnnotationACLs))
}
