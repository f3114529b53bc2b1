package execute

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/observe"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// beginRecovery records how a lost quorum is recovered. Everything else follows from this one record.
func (e *Executor) beginRecovery(ctx context.Context, s *observe.Snapshot, a plan.BeginRecovery) (Outcome, error) {
	if err := e.confirmAbsent(ctx, s, a.Lost); err != nil {
		return Outcome{}, err
	}
	record := resources.Recovery{ID: e.Now().UTC().Format("20060102T150405Z"), Survivor: a.Survivor, Lost: a.Lost}
	err := e.book(ctx, s, annotate(v1alpha1.AnnotationRecovery, record.String()))
	agent := agentOf(s, a.Survivor)
	return Outcome{Event: fmt.Sprintf("the quorum is lost: %s carries on as the only voter, "+
		"with its data up to index %d of term %d, and without %s",
		a.Survivor, agent.LastIndex, agent.LastTerm, strings.Join(a.Lost, ", "))}, err
}

func agentOf(s *observe.Snapshot, name string) plan.Agent {
	for _, server := range s.Servers {
		if server.Name == name {
			return server.Agent
		}
	}
	return plan.Agent{}
}

// confirmAbsent asks the API server whether claims that are missing from the snapshot exist without our labels.
func (e *Executor) confirmAbsent(ctx context.Context, s *observe.Snapshot, lost []string) error {
	for _, name := range lost {
		if s.Claims[name] != nil {
			continue
		}
		var claim corev1.PersistentVolumeClaim
		err := e.Live.Get(ctx, client.ObjectKey{Namespace: s.Cluster.Namespace, Name: name}, &claim)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return fmt.Errorf("reading claim %s: %w", name, err)
		case claim.Labels[v1alpha1.LabelRetired] == "":
			return fmt.Errorf("claim %s of a server that is lost for good is there, without the labels of this cluster: "+
				"restore them, or delete it", name)
		}
	}
	return nil
}
