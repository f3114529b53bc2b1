package execute_test

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// ring answers what gossip keys the members have.
type ring struct {
	consul.Agent
	keys consul.Keyring
	err  error
}

func (r ring) Keyring(context.Context) (consul.Keyring, error) { return r.keys, r.err }

const gossipSecret = "consul-gossip-encryption-key"

// secured is a cluster whose servers have the gossip key, or are about to get it.
func secured(t *testing.T, phase v1alpha1.GossipPhase) *world {
	t.Helper()
	w := newWorld(t)
	if phase != "" {
		w.seen.Cluster.Annotations = map[string]string{
			v1alpha1.AnnotationGossip: string(phase), v1alpha1.AnnotationRecordsOf: string(clusterUID),
		}
	}
	return w
}

// runs is a server that has started in a phase of gossip encryption, and whose agent answers.
func (w *world) runs(name string, phase v1alpha1.GossipPhase) {
	w.seen.Servers = append(w.seen.Servers, plan.Server{
		Name: name, Agent: plan.Agent{Answered: true},
		Pod: &plan.Pod{Running: true, Gossip: gossipPhase(phase), MayHaveKey: resources.HasGossipKey(phase)},
	})
}

func gossipPhase(name v1alpha1.GossipPhase) plan.GossipPhase {
	phase, err := plan.ParseGossipPhase(string(name))
	if err != nil {
		panic(err)
	}
	return phase
}

// gossipKey is what the Secret holds; empty if there is none.
func (w *world) gossipKey(t *testing.T) string {
	t.Helper()
	secret := &corev1.Secret{}
	err := w.client.Get(t.Context(), key(gossipSecret), secret)
	if apierrors.IsNotFound(err) {
		return ""
	}
	w.Expect(err).NotTo(HaveOccurred())
	return string(secret.Data["key"])
}

func TestTheGossipKey(t *testing.T) {
	const none, anew = "", "a new one"
	all := consul.Keyring{Members: 2, Keys: map[string]int{"theirs": 2}, Primary: map[string]int{"theirs": 2}}
	one := map[string]int{"theirs": 1, "other": 1}
	some := consul.Keyring{Members: 2, Keys: one, Primary: one}
	tells := func(r ring) func(w *world) {
		return func(w *world) {
			w.runs("consul-0", v1alpha1.GossipRequired)
			w.executor.Dial = func(consul.Target) consul.Agent { return r }
		}
	}
	silent := func(w *world) { w.seen.Servers[0].Agent.Answered = false }
	for name, test := range map[string]struct {
		phase   v1alpha1.GossipPhase
		changes []func(w *world)
		key     string
		fails   string
	}{
		"a cluster without encryption has none": {v1alpha1.GossipOff, nil, none, ""},
		"a new cluster gets a new one":          {v1alpha1.GossipRequired, nil, anew, ""},
		"so does one whose servers have none": {
			v1alpha1.GossipAccepting, []func(*world){func(w *world) { w.runs("consul-0", v1alpha1.GossipOff) }}, anew, "",
		},
		"I10 the key of servers that have one is theirs": {
			v1alpha1.GossipRequired, []func(*world){tells(ring{keys: all})}, "theirs", "",
		},
		"I10 it is not guessed while none answers": {
			v1alpha1.GossipRequired, []func(*world){tells(ring{keys: all}), silent}, none, "wait for a server that answers",
		},
		"some have no key": {
			v1alpha1.GossipAccepting, []func(*world){tells(ring{err: consul.ErrNoKey})}, none, "set spec.gossipEncryption.enabled back",
		},
		"I10 nor where they do not tell": {
			v1alpha1.GossipSending, []func(*world){tells(ring{err: errors.New("not today")})}, none, "not today",
		},
		"I10 nor where they have several": {v1alpha1.GossipSending, []func(*world){tells(ring{keys: some})}, none, "do not share one"},
	} {
		t.Run(name, func(t *testing.T) {
			w := secured(t, test.phase)
			for _, change := range test.changes {
				change(w)
			}
			_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{})
			w.Expect(err).NotTo(HaveOccurred())
			if test.fails == "" {
				w.Expect(failures).To(BeEmpty())
			} else {
				w.Expect(failures).To(ConsistOf(HaveField("Message", And(ContainSubstring(gossipSecret), ContainSubstring(test.fails)))))
			}
			found := w.gossipKey(t)
			if test.key == anew {
				w.Expect(found).To(HaveLen(44), "32 bytes in base64")
				return
			}
			w.Expect(found).To(Equal(test.key))
		})
	}
}

func TestTheGossipKeyIsKept(t *testing.T) {
	w := secured(t, v1alpha1.GossipRequired)
	w.carryOut(t, plan.Decision{})
	made := w.gossipKey(t)

	secret := &corev1.Secret{}
	w.Expect(w.client.Get(t.Context(), key(gossipSecret), secret)).To(Succeed())
	secret.Labels = map[string]string{"mine": "too"}
	w.Expect(w.client.Update(t.Context(), secret)).To(Succeed())
	w.executor.Client = hides{w.client, gossipSecret} // the cache has only what has labels
	w.carryOut(t, plan.Decision{})

	w.Expect(w.gossipKey(t)).To(Equal(made))
	w.Expect(w.client.Get(t.Context(), key(gossipSecret), secret)).To(Succeed())
	w.Expect(secret.Labels).To(HaveKeyWithValue(v1alpha1.LabelClusterUID, string(clusterUID)))
	w.Expect(secret.Labels).To(HaveKeyWithValue("mine", "too"))
}

// hides is a client whose cache does not have an object.
type hides struct {
	client.Client
	name string
}

func (h hides) Get(ctx context.Context, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
	if key.Name == h.name {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, key.Name)
	}
	return h.Client.Get(ctx, key, o, options...)
}

// A name that is taken stops a cluster only if it needs the name: one without encryption goes on without it.
func TestAGossipKeyOfSomebodyElse(t *testing.T) {
	for phase, holds := range map[v1alpha1.GossipPhase]bool{"": false, v1alpha1.GossipAccepting: true} {
		w := secured(t, phase)
		theirs := resources.GossipSecret(w.seen.Cluster, resources.KnownGossipKeys("theirs", nil))
		theirs.Labels, theirs.OwnerReferences = nil, nil
		w.Expect(w.client.Create(t.Context(), theirs)).To(Succeed())
		_, failures, err := w.executor.CarryOut(t.Context(), w.seen, plan.Decision{Step: plan.SetGossip{Phase: plan.GossipSending}})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(failures).NotTo(BeEmpty())
		for _, f := range failures {
			w.Expect(f.Message).To(ContainSubstring("Secret " + gossipSecret + " exists and does not belong to this cluster"))
			w.Expect(w.seen.HoldsSteps(f)).To(Equal(holds))
		}
		w.Expect(w.gossipKey(t)).To(Equal("theirs"))
		w.Expect(w.annotations(t)[v1alpha1.AnnotationGossip]).To(BeEmpty(), "nothing is recorded before the key is there")
	}
}

func TestAPhaseIsRecorded(t *testing.T) {
	w := newWorld(t)
	w.Expect(w.executor.Client.Patch(t.Context(), w.seen.Cluster, client.RawPatch(types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"`+v1alpha1.AnnotationAgentsReady+`":"Accepting"}}}`)))).To(Succeed())
	w.look(t)
	outcome, err := w.executor.Do(t.Context(), w.seen, plan.SetGossip{Phase: plan.GossipAccepting})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(outcome.Event).To(Equal("gossip encryption goes from Off to Accepting"))
	w.Expect(w.annotations(t)).To(Equal(map[string]string{
		v1alpha1.AnnotationGossip: "Accepting", v1alpha1.AnnotationRecordsOf: string(clusterUID),
	}), "a person's word counts once")
	w.Expect(w.gossipKey(t)).NotTo(BeEmpty())
}

func TestALostPhaseIsRecordedAgain(t *testing.T) {
	w := newWorld(t)
	w.seen.Spec.Gossip = plan.Gossip{Phase: plan.GossipRequired, Unrecorded: true}
	outcome, err := w.executor.Do(t.Context(), w.seen, plan.SetGossip{Phase: plan.GossipRequired})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(outcome.Event).To(ContainSubstring("is missing: it is written again"))
	w.Expect(w.annotations(t)[v1alpha1.AnnotationGossip]).To(Equal("Required"))
}
