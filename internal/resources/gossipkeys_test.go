package resources_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// What a Secret holds in the course of a rotation, as servers and client agents read it.
func TestGossipKeys(t *testing.T) {
	g := NewWithT(t)
	first := resources.NewGossipKeys()
	g.Expect(first.New()).NotTo(Equal(resources.NewGossipKeys().New()))
	coming := first.WithNext(resources.NewGossipKeys())
	going := coming.WithNewFirst()
	for _, stage := range []struct {
		keys    resources.GossipKeys
		key     string
		keyring []string
		stage   resources.GossipStage
	}{
		{first, first.New(), []string{first.New()}, resources.GossipSettled},
		{coming, first.New(), []string{first.New(), coming.New()}, resources.GossipComing},
		{going, coming.New(), []string{coming.New(), first.New()}, resources.GossipGoing},
		{going.Removing(), coming.New(), []string{coming.New()}, resources.GossipRemoving},
		{going.Removing().Settled(), coming.New(), []string{coming.New()}, resources.GossipSettled},
		{resources.KnownGossipKeys("b", []string{"a", "b", "c"}), "b", []string{"b", "a", "c"}, resources.GossipGoing},
	} {
		secret := resources.GossipSecret(inPhase(v1alpha1.GossipRequired), stage.keys)
		g.Expect(resources.Belongs(inPhase(v1alpha1.GossipRequired), secret)).To(BeTrue())
		g.Expect(string(secret.Data["key"])).To(Equal(stage.key))
		var keyring []string
		g.Expect(json.Unmarshal(secret.Data["keyring"], &keyring)).To(Succeed())
		g.Expect(keyring).To(Equal(stage.keyring))
		g.Expect(stage.keys.Stage()).To(Equal(stage.stage))
		if len(stage.key) > 1 {
			g.Expect(resources.GossipKeysOf(secret)).To(Equal(stage.keys))
			for range 3 {
				g.Expect(resources.CachedGossipStage(secret)).To(Equal(stage.stage))
				secret.Data = resources.Cached(secret)
			}
		}
	}
}

func TestGossipKeysAreNotPrinted(t *testing.T) {
	g := NewWithT(t)
	keys := resources.NewGossipKeys()
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		g.Expect(fmt.Sprintf(format, struct{ Keys resources.GossipKeys }{keys})).NotTo(ContainSubstring(keys.New()), format)
	}
}

// Keys with which no server would start, or which others do not have, are not given to any.
func TestDamagedGossipKeys(t *testing.T) {
	for name, change := range map[string]func(data map[string][]byte){
		"nothing":                  func(data map[string][]byte) { clear(data) },
		"no list":                  func(data map[string][]byte) { data["keyring"] = data["key"] },
		"an empty list":            func(data map[string][]byte) { data["keyring"] = []byte("[]") },
		"a password":               func(data map[string][]byte) { data["keyring"] = []byte(`["hunter2"]`) },
		"a key beside the list":    func(data map[string][]byte) { data["key"] = []byte(resources.NewGossipKeys().New()) },
		"a next one beside them":   func(data map[string][]byte) { data["next"] = []byte(resources.NewGossipKeys().New()) },
		"the first one is to come": func(data map[string][]byte) { data["next"] = data["key"] },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			keys := resources.NewGossipKeys()
			secret := resources.GossipSecret(inPhase(v1alpha1.GossipRequired), keys)
			change(secret.Data)
			_, err := resources.GossipKeysOf(secret)
			g.Expect(err).To(HaveOccurred())
			g.Expect(resources.GossipStageOf(secret)).To(Equal(resources.GossipDamaged))
			g.Expect(err.Error()).NotTo(Or(ContainSubstring(keys.New()), ContainSubstring("hunter2")))
			resources.SetGossipKeys(secret, keys, time.Now())
			g.Expect(resources.GossipKeysOf(secret)).To(Equal(keys))
		})
	}
	_, err := resources.GossipKeysOf(&corev1.Secret{})
	NewWithT(t).Expect(err).To(HaveOccurred())
}

// A cluster that asks for another key gets one that was made since it does.
func TestAnotherOneIsAskedFor(t *testing.T) {
	g := NewWithT(t)
	const annotation = v1alpha1.AnnotationRotateGossipKey
	c := inPhase(v1alpha1.GossipRequired)
	secret := resources.GossipSecret(c, resources.NewGossipKeys())
	g.Expect(resources.IsAsked(c, secret, annotation)).To(BeFalse())
	c.Annotations[annotation] = "today"
	g.Expect(resources.IsAsked(c, secret, annotation)).To(BeTrue())
	resources.SetRotatedFor(secret, c, annotation)
	g.Expect(resources.IsAsked(c, secret, annotation)).To(BeFalse())
	c.Annotations[annotation] = "tomorrow"
	g.Expect(resources.IsAsked(c, secret, annotation)).To(BeTrue())
	delete(c.Annotations, annotation)
	g.Expect(resources.IsAsked(c, secret, annotation)).To(BeFalse())
}

// The age of a key counts from when it was made, or became the only one.
func TestWhenKeysChanged(t *testing.T) {
	g := NewWithT(t)
	secret := resources.GossipSecret(inPhase(v1alpha1.GossipRequired), resources.NewGossipKeys())
	secret.CreationTimestamp = metav1.NewTime(noon.Add(-24 * time.Hour))
	g.Expect(resources.KeysChanged(secret)).To(BeTemporally("==", noon.Add(-24*time.Hour)))
	resources.SetGossipKeys(secret, resources.NewGossipKeys(), noon)
	g.Expect(resources.KeysChanged(secret)).To(BeTemporally("==", noon))
}

// A key that a user provides is known from the others, also by what the cache keeps.
func TestAKeyOfAUser(t *testing.T) {
	g := NewWithT(t)
	key, other := resources.NewGossipKeys(), resources.NewGossipKeys()
	secret := resources.GossipSecret(inPhase(v1alpha1.GossipRequired), other)
	g.Expect(resources.IsNewestGossipKey(secret, key)).To(BeFalse())
	g.Expect(resources.IsNewestGossipKey(secret, other)).To(BeTrue())
	resources.SetGossipKeys(secret, other.WithNext(key), noon)
	g.Expect(resources.IsNewestGossipKey(secret, key)).To(BeTrue())

	settled := resources.GossipSecret(inPhase(v1alpha1.GossipRequired), key)
	settled.Data = resources.Cached(settled)
	g.Expect(resources.IsNewestGossipKey(settled, key)).To(BeTrue())
	g.Expect(resources.IsNewestGossipKey(settled, other)).To(BeFalse())
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
