package snapshot

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
)

// foreign are files that are no whole snapshots, such as people put into a bucket, or disks leave behind.
func foreign(snapshot []byte) map[string][]byte {
	return map[string][]byte{
		"empty":                 {},
		"a text":                []byte(strings.Repeat("Dear diary, there is no snapshot today. ", 100)),
		"noise":                 noise(10_000),
		"zeros":                 make([]byte, 10_000),
		"of something else":     pack(packed{"README.md", "# Photos"}, packed{"cat.jpg", string(noise(10_000))}),
		"of nothing":            pack(),
		"without its last byte": snapshot[:len(snapshot)-1],
		"without its end":       snapshot[:len(snapshot)-endSize],
		"half of one":           snapshot[:len(snapshot)/2],
		"the start of one":      snapshot[:10],
		"two in one":            slices.Concat(snapshot, snapshot),
	}
}

func encryptedText(keys Keys, text []byte) []byte {
	var out bytes.Buffer
	to, err := keys.encrypt(&out)
	must(err)
	must(to.Write(text))
	must(to.Close())
	return out.Bytes()
}

// newKeys are those of somebody who saves and restores.
func newKeys() Keys {
	recipient, identity := newIdentity()
	keys, err := NewKeys([]string{recipient}, []byte(identity))
	must(err)
	return keys
}

// whole is what a store has.
func whole(t *testing.T, store Store, name string) []byte {
	t.Helper()
	text, err := get(t.Context(), store, name)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return text
}

// No part of a file that is no whole snapshot, or nobody's, is ever sent to Consul.
func TestWhatIsNoSnapshot(t *testing.T) {
	keys := newKeys()
	phrase, err := NewPassphrase([]byte(passphrase))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	sealed := encryptedText(keys, small())
	type object struct {
		keys Keys
		sum  string
		text []byte
		want reason.Reason
	}
	objects := map[string]object{
		"encrypted, of somebody else":      {newKeys(), "", sealed, reason.SnapshotKeyMissing},
		"encrypted, and there is no key":   {Keys{}, "", sealed, reason.SnapshotKeyMissing},
		"encrypted with a passphrase, cut": {phrase, "", encryptedText(phrase, small())[:400], reason.SnapshotDamaged},
		"whole, and not encrypted":         {keys, "", small(), reason.SnapshotUnfit},
		"whole, with another sum":          {Keys{}, "ab", small(), reason.SnapshotDamaged},
		"more follows what is encrypted":   {keys, "", append(slices.Clone(sealed), 'x'), reason.SnapshotDamaged},
	}
	for name, text := range foreign(small()) {
		objects[name] = object{Keys{}, "", text, reason.SnapshotDamaged}
		objects[name+", encrypted"] = object{keys, "", encryptedText(keys, text), reason.SnapshotDamaged}
		objects[name+", not encrypted"] = object{keys, "", text, reason.SnapshotUnfit}
		objects[name+", instead of what was saved"] = object{keys, "ab", text, reason.SnapshotDamaged}
	}
	for name, o := range objects {
		t.Run(name, func(t *testing.T) {
			g, ctx := NewWithT(t), soon(t)
			consul, pretender := pretend(t, nil, undisturbed)
			task := Task{Consul: consul, Store: newFolder(t), Keys: o.keys, Name: "1.snap", SHA256: o.sum}
			g.Expect(put(ctx, task.Store, task.Name, o.text)).To(Succeed())
			_, err := task.Inspect(ctx)
			g.Expect(reasonOf(err)).To(Equal(o.want), "%v", err)
			_, err = task.Restore(ctx, fits)
			g.Expect(reasonOf(err)).To(Equal(o.want), "%v", err)
			given, _ := pretender.all()
			g.Expect(given).To(BeEmpty())
		})
	}
}

// However much of an object is missing, it is found, whether it is encrypted or not.
func TestWhatIsCut(t *testing.T) {
	keys := newKeys()
	for name, c := range map[string]struct {
		keys Keys
		text []byte
	}{
		"plain": {Keys{}, small()}, "encrypted": {keys, encryptedText(keys, small())},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			shelf := &shelf{}
			task := Task{Store: shelf, Keys: c.keys}
			for length := range c.text {
				shelf.text = c.text[:length]
				_, err := task.Inspect(t.Context())
				want := reason.SnapshotDamaged
				if c.keys.CanDecrypt() && length < len(ageHeader) { // it does not look like one that is encrypted
					want = reason.SnapshotUnfit
				}
				g.Expect(reasonOf(err)).To(Equal(want), "%d of %d bytes", length, len(c.text))
			}
			shelf.text = c.text
			_, err := task.Inspect(t.Context())
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
}

// shelf is a store that has one object, and another one from the second time on.
type shelf struct {
	Store
	text, then []byte
	opened     int
}

func (s *shelf) Open(context.Context, string) (io.ReadCloser, error) {
	if s.opened++; s.opened > 1 && s.then != nil {
		return io.NopCloser(bytes.NewReader(s.then)), nil
	}
	return io.NopCloser(bytes.NewReader(s.text)), nil
}

// An object that changes after it was checked is never whole for Consul, even if it is.
func TestWhatChangesAfterItWasChecked(t *testing.T) {
	keys := newKeys()
	changed := slices.Clone(small())
	changed[len(changed)-1] ^= 1
	objects := foreign(small())
	objects["another"] = archiveWith(100)
	objects["larger"] = large()
	objects["the last byte is another"] = changed
	for name, then := range objects {
		t.Run(name, func(t *testing.T) {
			for kind, store := range map[string]*shelf{
				"plain":                   {text: small(), then: then},
				"encrypted":               {text: encryptedText(keys, small()), then: encryptedText(keys, then)},
				"no longer encrypted":     {text: encryptedText(keys, small()), then: then},
				"encrypted, and then cut": {text: encryptedText(keys, small()), then: encryptedText(keys, then)[:200]},
			} {
				g := NewWithT(t)
				consul, pretender := pretend(t, nil, undisturbed)
				task := Task{Consul: consul, Store: store}
				if kind != "plain" {
					task.Keys = keys
				}
				_, err := task.Restore(soon(t), fits)
				g.Expect(reasonOf(err)).To(Equal(reason.SnapshotDamaged), "%s: %v", kind, err)
				_, restored := pretender.all()
				g.Expect(restored).To(BeEmpty(), kind)
			}
		})
	}
}

// What Consul cannot restore, or the cluster is not of, is not sent.
func TestWhatDoesNotFit(t *testing.T) {
	of := func(version string) []byte {
		server := aServer("consul-0", "")
		server["Service"].(map[string]any)["Meta"] = map[string]any{"version": version}
		state := stateOf(record{0, server})
		return archiveOf(metaOf(state), packed{fileState, state})
	}
	future := good()
	for name, c := range map[string]struct {
		text []byte
		fit  Fit
	}{
		"of the future":         {archiveOf(metaOf(future), packed{fileState, future}), fits},
		"of another datacenter": {of("1.22.7"), Fit{Datacenter: "dc2", Version: "1.22.7"}},
		"of a newer Consul":     {of("1.22.8"), fits},
		"of Consul Enterprise":  {of("1.21.0+ent"), fits},
		"of an unknown Consul":  {of("latest"), fits},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			consul, pretender := pretend(t, nil, undisturbed)
			task := Task{Consul: consul, Store: &shelf{text: c.text}}
			_, err := task.Inspect(t.Context())
			g.Expect(err).NotTo(HaveOccurred(), "it is whole")
			_, err = task.inspectFit(t.Context(), c.fit)
			g.Expect(reasonOf(err)).To(Equal(reason.SnapshotUnfit))
			_, err = task.Restore(soon(t), c.fit)
			g.Expect(reasonOf(err)).To(Equal(reason.SnapshotUnfit))
			given, _ := pretender.all()
			g.Expect(given).To(BeEmpty())
		})
	}
	g := NewWithT(t)
	for _, version := range []string{"1.22.7", "1.19.2", "1.22.7-dev"} {
		consul, pretender := pretend(t, nil, undisturbed)
		_, err := Task{Consul: consul, Store: &shelf{text: of(version)}}.Restore(soon(t), fits)
		g.Expect(err).NotTo(HaveOccurred(), version)
		_, restored := pretender.all()
		g.Expect(restored).To(HaveLen(1))
	}
}
