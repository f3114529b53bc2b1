package status

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/reason"
	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// adopted says whose ids the servers have, if the cluster has taken over the volumes of another one, or does.
func adopted(s *observe.Snapshot) *v1alpha1.Adopted {
	c := s.Cluster
	identity := resources.Identity(c)
	if identity == c.UID {
		return nil
	}
	adopted := &v1alpha1.Adopted{By: string(c.UID), Identity: string(identity)}
	if former := s.Spec.FormerVolumes; former != nil && former.Recorded {
		adopted.Of = former.Of
	}
	return adopted
}

// volumeUsed is how full the volume of a server is, in percent. What a new operator has not asked for yet is as it was.
func volumeUsed(s *observe.Snapshot, server plan.Server) *int32 {
	known, is := s.Volumes[server.Name]
	switch {
	case s.Volumes == nil, known.Unread != "":
		return nil
	case !is:
		return observe.LastStatus(s.Cluster.Status, server.Name).VolumeUsed
	}
	percent := known.Percent()
	return &percent
}

// volumeSpace says whether volumes fill up. Where one was not asked for yet, as of a server that has just started, it stays as it
// was, unless others fill up.
func volumeSpace(status *v1alpha1.ConsulClusterStatus, s *observe.Snapshot) {
	if s.Volumes == nil {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.ConditionVolumeSpace)
		return
	}
	var full, unread []string
	isKnown := true
	for _, server := range s.Servers {
		known, is := s.Volumes[server.Name]
		switch {
		case !is:
			isKnown = false
		case known.Unread != "":
			unread = append(unread, server.Name+": "+known.Unread)
		case server.Volume.FillsUp():
			full = append(full, describe(s, server, known.Percent()))
		}
	}
	condition := metav1.Condition{Type: v1alpha1.ConditionVolumeSpace, ObservedGeneration: s.Cluster.Generation}
	switch {
	case len(full) > 0:
		condition.Status, condition.Reason = metav1.ConditionFalse, string(reason.VolumesFillUp)
		condition.Message = strings.Join(full, "; ")
	case len(unread) > 0:
		condition.Status, condition.Reason = metav1.ConditionUnknown, string(reason.VolumeUsageUnknown)
		condition.Message = strings.Join(unread, "; ")
	case isKnown && len(s.Servers) > 0:
		condition.Status, condition.Reason = metav1.ConditionTrue, string(reason.EnoughSpace)
		condition.Message = "less than 80 % of each volume is used"
	default:
		return
	}
	meta.SetStatusCondition(&status.Conditions, condition)
}

// describe says how full a volume is, and what becomes of it.
func describe(s *observe.Snapshot, server plan.Server, percent int32) string {
	said := fmt.Sprintf("the volume of %s is %d %% full", server.Name, percent)
	switch grow := s.Cluster.Spec.Storage.AutoGrow; {
	case server.Volume.Growing:
		return said + ", and grows to " + resource.NewQuantity(server.Volume.Requested, resource.BinarySI).String()
	case grow == nil:
		return said + ": raise spec.storage.size, or set spec.storage.autoGrow"
	case server.Volume.Requested >= s.Spec.GrowUpTo:
		return said + ": raise spec.storage.autoGrow.limit"
	}
	return said
}
