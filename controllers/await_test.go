package controllers

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mapper is an API server that fails to answer a few times.
type mapper struct {
	meta.RESTMapper
	failures int
	err      error
	asked    int
}

func (m *mapper) RESTMapping(schema.GroupKind, ...string) (*meta.RESTMapping, error) {
	if m.asked++; m.asked <= m.failures {
		return nil, m.err
	}
	return &meta.RESTMapping{}, nil
}

func TestAnAPIServerThatDoesNotAnswerYet(t *testing.T) {
	scheme := runtime.NewScheme()
	NewWithT(t).Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	watched := []client.Object{&corev1.Pod{}, &corev1.Secret{}}
	timeout, none := errors.New("net/http: TLS handshake timeout"), &meta.NoKindMatchError{}
	for name, test := range map[string]struct {
		mapper mapper
		asked  int
		err    error
	}{
		"it answers":           {mapper{}, 2, nil},
		"it answers later":     {mapper{failures: 3, err: timeout}, 5, nil},
		"a kind is not served": {mapper{failures: 1, err: none}, 1, none},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := NewWithT(t)
				err := awaitKinds(t.Context(), logr.Discard(), &test.mapper, scheme, watched)
				if test.err == nil {
					g.Expect(err).NotTo(HaveOccurred())
				} else {
					g.Expect(err).To(MatchError(test.err))
				}
				g.Expect(test.mapper.asked).To(Equal(test.asked))
			})
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	NewWithT(t).Expect(awaitKinds(ctx, logr.Discard(), &mapper{failures: 9, err: timeout}, scheme, watched)).To(
		MatchError(context.Canceled), "it is told to stop meanwhile")
}
