package timed

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/sim"
)

// Revisions are known by number; the model's revisions count from 1.
type Revisions []revision

type revision struct {
	name   string
	gossip plan.GossipPhase
	tls    plan.TLSPhase
	acls   plan.ACLPhase
}

// number of a revision, with its phases.
func (r *Revisions) number(name string) sim.Revision {
	i := slices.IndexFunc(*r, func(known revision) bool { return known.name == name })
	if i < 0 {
		*r = append(*r, revision{name: name})
		i = len(*r) - 1
	}
	known := (*r)[i]
	return sim.Of(uint8(i + 1)). //nolint:gosec // a handful of revisions
					WithGossip(known.gossip).WithTLS(known.tls).WithACLs(known.acls)
}

// wanted is the number of the revision that a ConsulCluster asks for.
func (r *Revisions) wanted(o *v1alpha1.ConsulCluster) sim.Revision {
	name := resources.Revision(o)
	if !slices.ContainsFunc(*r, func(known revision) bool { return known.name == name }) {
		gossip, err := plan.ParseGossipPhase(string(resources.GossipPhase(o)))
		tls, tlsErr := plan.ParseTLSPhase(string(resources.TLSPhase(o)))
		acls, aclErr := plan.ParseACLPhase(string(resources.ACLPhase(o)))
		if err := errors.Join(err, tlsErr, aclErr); err != nil {
			panic(err) // no test damages it
		}
		*r = append(*r, revision{name, gossip, tls, acls})
	}
	return r.number(name)
}

// gossipTarget is where the phases of gossip encryption lead.
func gossipTarget(o *v1alpha1.ConsulCluster, wanted sim.Revision) plan.GossipPhase {
	switch enabled := o.Spec.GossipEncryption.Enabled; {
	case enabled == nil:
		return wanted.Gossip()
	case *enabled:
		return plan.GossipRequired
	}
	return plan.GossipOff
}

// tlsTarget is where the phases of TLS lead.
func tlsTarget(o *v1alpha1.ConsulCluster, wanted sim.Revision) plan.TLSPhase {
	enabled, only := o.Spec.TLS.Enabled, o.Spec.TLS.HTTPSOnly
	switch {
	case enabled == nil:
		return wanted.TLS()
	case !*enabled:
		return plan.TLSOff
	case only == nil:
		return max(wanted.TLS(), plan.TLSRequired)
	case *only:
		return plan.TLSOnly
	}
	return plan.TLSRequired
}

// aclTarget is where the phases of ACLs lead.
func aclTarget(o *v1alpha1.ConsulCluster, wanted sim.Revision) plan.ACLPhase {
	switch enabled, policy := o.Spec.ACLs.Enabled, o.Spec.ACLs.DefaultPolicy; {
	case enabled == nil:
		return wanted.ACLs()
	case !*enabled:
		return plan.ACLsOff
	case policy == v1alpha1.ACLDefaultDeny:
		return plan.ACLsDeny
	case policy == v1alpha1.ACLDefaultAllow:
		return plan.ACLsAllow
	}
	return max(wanted.ACLs(), plan.ACLsAllow)
}

// Adopt takes over what a ConsulCluster says.
func (c *Cluster) Adopt(o *v1alpha1.ConsulCluster, revisions *Revisions) {
	s := &c.State
	s.Replicas, s.Surge = uint8(o.Spec.Replicas), uint8(o.Spec.Update.MaxSurge) //nolint:gosec // at most 7
	s.InPlace = o.Spec.Update.Type == v1alpha1.UpdateInPlace
	s.Wanted, s.Paused = revisions.wanted(o), o.Spec.Paused
	s.Gossip = uint8(gossipTarget(o, s.Wanted)) //nolint:gosec // 0 to 3
	s.TLS = uint8(tlsTarget(o, s.Wanted))       //nolint:gosec // 0 to 4
	s.ACLs = uint8(aclTarget(o, s.Wanted))      //nolint:gosec // 0 to 2
	s.Replace = o.Spec.FailureReplacement.After == nil || o.Spec.FailureReplacement.After.Duration > 0
	s.Bootstrapped = o.Annotations[v1alpha1.AnnotationBootstrapped] != ""
	s.Automatic = o.Spec.Recovery.Mode == v1alpha1.RecoveryAutomatic
	c.adoptRecovery(RecoveryOf(o))
	c.rotationAsked = o.Annotations[v1alpha1.AnnotationRotateGossipKey]
	s.Rotate = c.rotationAsked != c.rotatedFor
	c.tokens.asked = o.Annotations[v1alpha1.AnnotationRotateTokens]
	s.AskTokens = c.tokens.asked != c.tokens.rotatedFor
	s.Transfer = sim.NoTransfer
	if to, asked := o.Annotations[v1alpha1.AnnotationTransferLeadership]; asked {
		s.Transfer = sim.AnyServer
		if i := c.Named(to); i >= 0 {
			s.Transfer = int8(i) //nolint:gosec // at most MaxServers
		}
	}
}

// WroteClaim takes over what was written of a claim.
func (c *Cluster) WroteClaim(o *corev1.PersistentVolumeClaim, revisions *Revisions) {
	i := c.Named(o.Name)
	if i < 0 || c.State.Servers[i].Claim == sim.ClaimNone {
		i = c.State.Free()
		c.Servers[i] = Server{Name: o.Name, ID: resources.NodeID(c.UID, o.Name)}
		c.State.Servers[i].Claim = sim.ClaimBound
	}
	x := &c.State.Servers[i]
	x.Revision = revisions.number(o.Annotations[v1alpha1.AnnotationRevision])
	_, x.Retiring = o.Annotations[v1alpha1.AnnotationRetiring]
	_, x.InPlace = o.Annotations[v1alpha1.AnnotationInPlace]
	_, x.Failed = o.Annotations[v1alpha1.AnnotationFailed]
	if expect, err := strconv.Atoi(o.Annotations[v1alpha1.AnnotationBootstrapExpect]); err == nil {
		x.Founder, c.State.Expect = true, uint8(expect) //nolint:gosec // at most 7
	}
	switch {
	case o.Labels[v1alpha1.LabelRetired] != "":
		c.State.SetAside(i)
	case o.DeletionTimestamp != nil:
		x.Claim = sim.ClaimDeleting
	}
}

// CreatedPod takes over what a new pod is to run, at an address.
func (c *Cluster) CreatedPod(o *corev1.Pod, ip string, revisions *Revisions) {
	i := c.Named(o.Name)
	if i < 0 {
		return // its claim is gone: it never starts
	}
	x := &c.State.Servers[i]
	c.Servers[i].IP, c.Servers[i].Version, c.Servers[i].Restarts = ip, versionOf(o), 0
	c.Servers[i].Given, _ = resources.SettingsOf(o)
	x.Pod, x.PodRevision = sim.PodPending, revisions.number(o.Labels[v1alpha1.LabelRevision])
	x.PodFounder, x.Serving, x.Settled, x.PodRescue = founder(o), false, true, c.rescueOf(o)
}

// UpdatedPod takes over what was written of a pod: it is to stop, or its gate was set.
func (c *Cluster) UpdatedPod(old, o *corev1.Pod) {
	i := c.Named(o.Name)
	if i < 0 {
		return
	}
	c.Servers[i].Given, _ = resources.SettingsOf(o)
	if o.DeletionTimestamp != nil && c.State.Servers[i].Pod != sim.PodTerminating {
		c.State.DeletePod(i)
	}
	if serving := Gate(o); serving != Gate(old) {
		c.State.SetGate(i, serving)
	}
}

// DeletedPod takes over that a pod is gone that had ended: the API server waits for no kubelet, so it was never seen to stop.
func (c *Cluster) DeletedPod(name string) {
	if i := c.Named(name); i >= 0 && c.State.Servers[i].Pod == sim.PodFinished {
		c.State.DeletePod(i)
	}
}

func versionOf(o *corev1.Pod) string {
	_, version, _ := strings.Cut(o.Spec.Containers[0].Image, ":")
	return version
}

func founder(o *corev1.Pod) bool {
	return slices.ContainsFunc(o.Spec.Containers[0].Args, func(arg string) bool {
		return strings.HasPrefix(arg, "-bootstrap-expect=")
	})
}

// Gate reports whether the readiness gate of a pod is open.
func Gate(o *corev1.Pod) bool {
	return slices.ContainsFunc(o.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == v1alpha1.GateServing && c.Status == corev1.ConditionTrue
	})
}

// RecoveryOf is the recovery that a ConsulCluster records; nil if there is none.
func RecoveryOf(c *v1alpha1.ConsulCluster) *resources.Recovery {
	recovery, err := resources.RecoveryOf(c)
	if err != nil {
		panic(err) // no test damages it
	}
	return recovery
}

// adoptRecovery takes over what the ConsulCluster's record says of a recovery.
func (c *Cluster) adoptRecovery(r *resources.Recovery) {
	s := &c.State
	s.Survivor = sim.Nobody
	if r == nil {
		r = &resources.Recovery{}
	} else if i := c.Named(r.Survivor); i >= 0 {
		s.Survivor = int8(i) //nolint:gosec // at most MaxServers
	}
	for i := range c.Servers[:s.N] {
		x := &s.Servers[i]
		x.Lost = slices.Contains(r.Lost, c.Servers[i].Name)
		if r.ID != c.recovery {
			x.Rescued = false // another recovery has another folder on the disk
		}
	}
	c.recovery = r.ID
}

// rescueOf is what a pod does for the recovery that is under way: its init container says so.
func (c *Cluster) rescueOf(pod *corev1.Pod) sim.Rescue {
	if id := pod.Annotations[v1alpha1.AnnotationRecovery]; id == "" || id != c.recovery {
		return sim.NoRescue
	}
	for _, container := range pod.Spec.InitContainers {
		for _, env := range container.Env {
			if env.Name == resources.EnvVoter && env.Value == resources.NodeID(c.UID, pod.Name) {
				return sim.SavesAndLeads
			}
		}
	}
	return sim.Saves
}

// ShowPod brings a pod's status to what the kubelet would write of the server in a slot.
func (c *Cluster) ShowPod(status *corev1.PodStatus, slot int, ready bool) {
	x := &c.State.Servers[slot]
	status.Phase = corev1.PodPending
	container := corev1.ContainerStatus{Name: resources.ContainerConsul}
	switch {
	case x.Process != sim.Down:
		status.Phase, status.PodIP = corev1.PodRunning, c.Servers[slot].IP
		container.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.Now()}
	case x.Pod == sim.PodPending:
		container.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	case x.Pod == sim.PodFinished:
		status.Phase, status.PodIP = corev1.PodSucceeded, c.Servers[slot].IP
		container.State.Terminated = &corev1.ContainerStateTerminated{}
	default: // it has failed and is about to be started again
		status.Phase, status.PodIP = corev1.PodRunning, c.Servers[slot].IP
		container.State.Terminated = &corev1.ContainerStateTerminated{ExitCode: 1}
	}
	status.ContainerStatuses = []corev1.ContainerStatus{container}
	// The kubelet leaves the gate, which is not its own, as it is.
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady
	})
	condition := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now()}
	if ready {
		condition.Status = corev1.ConditionTrue
	}
	status.Conditions = append(status.Conditions, condition)
}

// Endpoints are what the client Service sends connections to.
func (c *Cluster) Endpoints() (endpoints []discoveryv1.Endpoint) {
	for i := range c.Servers[:c.State.N] {
		if c.State.Servers[i].Routed && c.Servers[i].IP != "" {
			endpoints = append(endpoints, discoveryv1.Endpoint{
				Addresses:  []string{c.Servers[i].IP},
				Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
			})
		}
	}
	return endpoints
}
