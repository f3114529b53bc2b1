package virtualtime

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

const clusterName = "consul"

// The versions that stories go between.
const (
	older = "1.22.0"
	newer = "1.22.7"
)

// scenario is a story: what users do, each step when all is at rest or, if it says so, in the middle.
type scenario struct {
	name string
	// replicas of the cluster that is there at the start; 0 for none.
	replicas int32
	// encrypted is set if its gossip is, and if it has TLS and ACLs.
	encrypted bool
	steps     []step
	// spare is set if a late cache may cost a server that never took part: what users ask for overtakes it.
	spare bool
	// stuck is set if a pod is left that nobody but a person can delete.
	stuck bool
}

type step struct {
	say  string
	when func(*cluster) bool
	do   func(*run)
}

// scenarios are the stories that are told in every way.
func scenarios() []scenario {
	return []scenario{
		{name: "bootstrap of 3", steps: []step{foundEncrypted(3)}},
		{name: "upgrade of 3, surge 1", replicas: 3, steps: []step{upgrade(newer, 1)}},
		{name: "upgrade of 3, surge 3", replicas: 3, steps: []step{upgrade(newer, 3)}},
		{name: "upgrade of 1", replicas: 1, steps: []step{upgrade(newer, 1)}},
		{name: "upgrade of 3 in place", replicas: 3, steps: []step{upgradeInPlace(newer)}},
		{name: "upgrade of 1 in place", replicas: 1, steps: []step{upgradeInPlace(newer)}},
		{name: "gossip encryption of 3", replicas: 3, steps: []step{encrypt()}},
		{name: "TLS for 1, HTTPS only, and off", replicas: 1, steps: []step{certify(true, new(true)), certify(false, nil)}},
		{name: "ACLs for 1, deny, tokens that are lost, and off", replicas: 1, steps: []step{
			grant(true, v1alpha1.ACLDefaultDeny), loseTokens(), grant(false, "")}},
		{name: "another gossip key for 3", replicas: 3, encrypted: true, steps: []step{
			change("another gossip key is asked for", annotate(v1alpha1.AnnotationRotateGossipKey, "now"))}},
		{name: "other ACL tokens for 3", replicas: 3, encrypted: true, steps: []step{rotateTokens()}},
		{name: "other ACL tokens for 1, and an upgrade", replicas: 1, encrypted: true, steps: []step{
			rotateTokens(), upgrade(newer, 1)}},
		{name: "another certificate authority for 3", replicas: 3, encrypted: true, steps: []step{
			change("another authority is asked for", func(c *v1alpha1.ConsulCluster) {
				c.Annotations[v1alpha1.AnnotationRotateAuthority], c.Spec.TLS.CAGracePeriod = "now", grace
			})}},
		{name: "certificates of a user for 3, of another authority while one comes, and no more", replicas: 3, encrypted: true,
			steps: []step{bringCertificate(), bringAnother("while one comes", isComing), renewCertificate(), bringNone()}},
		{name: "certificates of a user for 1, and of two others at once", replicas: 1, encrypted: true, steps: []step{
			bringCertificate(), bringAnother("later", nil), bringAnother("while the last one goes", isGoing)}},
		{name: "another certificate for 1, and an upgrade", replicas: 1, encrypted: true, steps: []step{
			change("another name", func(c *v1alpha1.ConsulCluster) { c.Spec.TLS.AdditionalDNSNames = []string{"consul.example.com"} }),
			upgrade(newer, 1)}},
		{name: "scale 3 to 5 to 3", replicas: 3, steps: []step{scale(5), scale(3)}},
		{name: "rollback in the middle", replicas: 3, steps: []step{upgrade(newer, 1), rollback()}},
		{name: "a version that does not exist, corrected", replicas: 3, steps: []step{mistype(), correct()}, spare: true},
		{name: "restart on request", replicas: 3, steps: []step{
			change("a restart is asked for", annotate(v1alpha1.AnnotationRestartedAt, "now"))}},
		{name: "transfer on request", replicas: 3, steps: []step{
			change("another leader is asked for", annotate(v1alpha1.AnnotationTransferLeadership, ""))}},
		{name: "prune of a lost server", replicas: 3, steps: []step{{
			say: "a node dies, and a person deletes pod and claim that were on it",
			do:  func(r *run) { r.world.lose(clusterName + "-1") },
		}}},
		{name: "a node that never comes back", replicas: 3, steps: []step{{
			say: "a node dies",
			do:  func(r *run) { r.world.killNode(clusterName + "-1") },
		}}, stuck: true},
		{name: "a lost quorum", replicas: 3, steps: []step{
			change("recovery is automatic", func(c *v1alpha1.ConsulCluster) { c.Spec.Recovery.Mode = v1alpha1.RecoveryAutomatic }),
			{say: "two nodes die, and a person deletes pods and claims that were on them", do: func(r *run) {
				r.world.lose(clusterName + "-0")
				r.world.lose(clusterName + "-1")
			}},
		}},
	}
}

// newCluster is what a user writes, with the defaults of the API. Its gossip is not encrypted, and it has neither TLS nor ACLs.
func newCluster(replicas int32) *v1alpha1.ConsulCluster {
	return &v1alpha1.ConsulCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: clusterName, Generation: 1},
		Spec: v1alpha1.ConsulClusterSpec{
			Replicas: replicas, Version: older, Datacenter: "dc1",
			Storage:            v1alpha1.Storage{Size: resource.MustParse("10Gi"), Retention: v1alpha1.RetentionDelete},
			Update:             v1alpha1.Update{MaxSurge: 1, LeaderStableFor: &metav1.Duration{Duration: 10 * time.Second}},
			FailureReplacement: v1alpha1.FailureReplacement{After: &metav1.Duration{Duration: 5 * time.Minute}, MaxPerHour: 3},
			GossipEncryption:   v1alpha1.GossipEncryption{Enabled: new(false)},
			TLS:                v1alpha1.TLS{Enabled: new(false)},
			ACLs:               v1alpha1.ACLs{Enabled: new(false)},
		},
	}
}

func found(replicas int32) step { return create("a cluster is created", newCluster(replicas)) }

func foundEncrypted(replicas int32) step {
	cluster := newCluster(replicas)
	cluster.Spec.GossipEncryption.Enabled, cluster.Spec.TLS.Enabled, cluster.Spec.ACLs = nil, nil, v1alpha1.ACLs{DNS: true}
	return create("a cluster with gossip encryption, TLS and ACLs is created", cluster)
}

func create(say string, cluster *v1alpha1.ConsulCluster) step {
	return step{say: say, do: func(r *run) {
		cluster := cluster.DeepCopy()
		must(r.world.api.create(context.Background(), cluster))
		r.world.wrote(nil, cluster)
	}}
}

// change is a user's change of the ConsulCluster.
func change(say string, do func(*v1alpha1.ConsulCluster)) step {
	return step{say: say, do: func(r *run) {
		live := r.world.api.live[objectKey{"ConsulCluster", clusterName}].(*v1alpha1.ConsulCluster)
		cluster := live.DeepCopy()
		do(cluster)
		cluster.Generation++
		must(r.world.api.update(context.Background(), cluster))
		r.world.wrote(live, cluster)
	}}
}

func upgrade(version string, surge int32) step {
	return change("version "+version, func(c *v1alpha1.ConsulCluster) {
		c.Spec.Version, c.Spec.Update.MaxSurge = version, surge
	})
}

func upgradeInPlace(version string) step {
	return change("version "+version+" in place", func(c *v1alpha1.ConsulCluster) {
		c.Spec.Version, c.Spec.Update.Type = version, v1alpha1.UpdateInPlace
	})
}

func certify(enabled bool, only *bool) step {
	return change(fmt.Sprintf("TLS %t", enabled), func(c *v1alpha1.ConsulCluster) {
		c.Spec.TLS.Enabled, c.Spec.TLS.HTTPSOnly = &enabled, only
	})
}

func grant(enabled bool, policy v1alpha1.ACLDefaultPolicy) step {
	return change(fmt.Sprintf("ACLs %t %s", enabled, policy), func(c *v1alpha1.ConsulCluster) {
		c.Spec.ACLs.Enabled, c.Spec.ACLs.DefaultPolicy = &enabled, policy
	})
}

func rotateTokens() step {
	return change("other ACL tokens are asked for", annotate(v1alpha1.AnnotationRotateTokens, "now"))
}

func loseTokens() step {
	return step{say: "a snapshot without tokens is restored", do: func(r *run) {
		for _, c := range r.world.clusters {
			r.world.change(c, time.Now(), func(*sim.State) { c.LoseTokens() })
		}
	}}
}

func encrypt() step {
	return change("gossip encryption", func(c *v1alpha1.ConsulCluster) { c.Spec.GossipEncryption.Enabled = new(true) })
}

// rollback while the second new server waits for its vote.
func rollback() step {
	back := upgrade(older, 1)
	back.when = func(c *cluster) bool {
		joined, wanted := 0, c.State.Wanted
		for _, x := range c.State.Servers {
			if x.Revision == wanted && x.Peer != sim.NoPeer {
				joined++
			}
		}
		return joined == 2
	}
	return back
}

// mistype asks for a version whose servers never start.
func mistype() step {
	wrong := upgrade("1.22.77", 1)
	change := wrong.do
	wrong.do = func(r *run) {
		change(r)
		r.world.current().State.Bad = r.world.current().State.Wanted.Spec()
	}
	return wrong
}

// correct the version while the first server of the wrong one tries to start.
func correct() step {
	right := upgrade(newer, 1)
	right.when = func(c *cluster) bool {
		for _, x := range c.State.Servers {
			if x.Pod == sim.PodPending && x.PodRevision.Spec() == c.State.Bad {
				return true
			}
		}
		return false
	}
	return right
}

func scale(replicas int32) step {
	return change("scale", func(c *v1alpha1.ConsulCluster) { c.Spec.Replicas = replicas })
}

func annotate(key, value string) func(*v1alpha1.ConsulCluster) {
	return func(c *v1alpha1.ConsulCluster) { c.Annotations[key] = value }
}
