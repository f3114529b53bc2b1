package virtualtime

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/test/lib/sim"
	"github.com/consul-operator/consul-operator/test/lib/timed"
)

// judge asks which invariant an effect breaks, in the state right before it. What counts is what is written, and not
// what the operator meant by it.
func (r *run) judge(c *cluster, action plan.Action) {
	state := c.State
	state.Stable = true // the operator goes by the time, which the model has not
	if violation := sim.Check(action, &state); violation != nil {
		r.violate("%s (effect %d: %s)", violation, r.before+len(r.effects), r.effects[len(r.effects)-1])
	}
}

// judgeWrite judges a write to the API server.
func (r *run) judgeWrite(before, after client.Object) {
	c := r.world.owner(after)
	switch o := after.(type) {
	case *v1alpha1.ConsulCluster:
		if ready := apimeta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			r.world.trace.add("      → %s: %s", ready.Reason, ready.Message)
		}
		if old, _ := before.(*v1alpha1.ConsulCluster); old != nil {
			r.judgeRecovery(r.world.clusterOf(o.UID), old, o)
		}
	case *corev1.PersistentVolumeClaim:
		if old, _ := before.(*corev1.PersistentVolumeClaim); c != nil {
			r.judgeClaim(c, old, o)
		}
	case *corev1.Secret:
		if c != nil && o.Name == resources.GossipSecretName(c.Name) {
			r.judge(c, plan.RotateGossip{Step: c.StepOf(o)})
		}
	case *corev1.Pod:
		if old, _ := before.(*corev1.Pod); c != nil && old != nil {
			r.judgePod(c, old, o)
		}
	}
}

func (r *run) judgeRecovery(c *cluster, old, o *v1alpha1.ConsulCluster) {
	record, former := timed.RecoveryOf(o), timed.RecoveryOf(old)
	if record == nil || former != nil {
		return
	}
	begin := plan.BeginRecovery{Survivor: sim.Name(c.Named(record.Survivor))}
	for _, lost := range record.Lost {
		if i := c.Named(lost); i >= 0 {
			begin.Lost = append(begin.Lost, sim.Name(i))
		}
	}
	r.judge(c, begin)
}

func (r *run) judgeClaim(c *cluster, old, o *corev1.PersistentVolumeClaim) {
	if old == nil {
		expect, _ := strconv.Atoi(o.Annotations[v1alpha1.AnnotationBootstrapExpect]) // absent: 0
		r.judge(c, plan.CreateServer{BootstrapExpect: expect})
		return
	}
	i := c.Named(o.Name)
	if i < 0 {
		return
	}
	name := sim.Name(i)
	_, was := old.Annotations[v1alpha1.AnnotationRetiring]
	if _, is := o.Annotations[v1alpha1.AnnotationRetiring]; is && !was {
		_, inPlace := o.Annotations[v1alpha1.AnnotationInPlace]
		r.judge(c, plan.MarkRetiring{Server: name, InPlace: inPlace})
	}
	if old.Annotations[v1alpha1.AnnotationRevision] != o.Annotations[v1alpha1.AnnotationRevision] {
		r.judge(c, plan.SetRevision{Server: name})
	}
	_, had := old.Annotations[v1alpha1.AnnotationFailed]
	if _, has := o.Annotations[v1alpha1.AnnotationFailed]; has && !had {
		r.judge(c, plan.MarkFailed{Server: name})
	}
	released := old.DeletionTimestamp == nil && o.DeletionTimestamp != nil
	retained := old.Labels[v1alpha1.LabelRetired] == "" && o.Labels[v1alpha1.LabelRetired] != ""
	switch {
	case retained && o.Labels[v1alpha1.LabelRetired] == v1alpha1.RetiredFailed:
		r.judge(c, plan.QuarantineClaim{Server: name})
	case released || retained:
		r.judge(c, plan.ReleaseClaim{Server: name})
	}
}

func (r *run) judgePod(c *cluster, old, o *corev1.Pod) {
	i := c.Named(o.Name)
	if i < 0 {
		return
	}
	if old.DeletionTimestamp == nil && o.DeletionTimestamp != nil {
		r.judge(c, plan.DeletePod{Server: sim.Name(i)})
	}
	if !timed.Gate(old) && timed.Gate(o) {
		r.judge(c, plan.StartServing{Server: sim.Name(i)})
	}
}
