package snapshot

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/api/reason"
)

// testStore checks what every store does.
func testStore(t *testing.T, store Store) {
	g, ctx := NewWithT(t), t.Context()
	put := func(name, text string) Object {
		object, err := store.Create(ctx, name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(io.Copy(object, strings.NewReader(text))).To(BeEquivalentTo(len(text)))
		return object
	}
	get := func(name string) (string, error) {
		from, err := store.Open(ctx, name)
		if err != nil {
			return "", err
		}
		defer func() { _ = from.Close() }()
		text, err := io.ReadAll(from)
		return string(text), err
	}
	isMissing := func(name string) {
		_, err := get(name)
		g.Expect(reasonOf(err)).To(Equal(reason.SnapshotMissing), "%v", err)
	}
	const name = "backups/default/consul/1.snap"
	isMissing(name)
	object := put(name, "first")
	isMissing(name) // until it is committed
	g.Expect(object.Commit()).To(Succeed())
	object.Abort() // does nothing then
	g.Expect(get(name)).To(Equal("first"))

	put(name, "second").Abort()
	g.Expect(get(name)).To(Equal("first"))
	g.Expect(put(name, "third").Commit()).To(Succeed())
	g.Expect(get(name)).To(Equal("third"))

	large := strings.Repeat("0123456789abcdef", 2*partSize/16) + "end"
	put("large", large).Abort()
	isMissing("large")
	object = put("large", large)
	isMissing("large")
	g.Expect(object.Commit()).To(Succeed())
	g.Expect(get("large")).To(HaveLen(len(large)))
	exact := put("exact", large[:partSize]) // a part, and no more
	g.Expect(exact.Commit()).To(Succeed())
	g.Expect(get("exact")).To(Equal(large[:partSize]))
	g.Expect(put("empty", "").Commit()).To(Succeed())
	g.Expect(get("empty")).To(BeEmpty())

	g.Expect(store.Delete(ctx, name)).To(Succeed())
	isMissing(name)
	g.Expect(store.Delete(ctx, name)).To(Succeed(), "it is gone already")
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	store, err := OpenFolder(dir)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	testStore(t, store)
}

// No name leads out of a folder, not even by a link.
func TestFolderIsNotLeft(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	inside := filepath.Join(dir, "inside")
	g.Expect(os.Mkdir(inside, 0o700)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600)).To(Succeed())
	g.Expect(os.Symlink("..", filepath.Join(inside, "link"))).To(Succeed())
	store, err := OpenFolder(inside)
	g.Expect(err).NotTo(HaveOccurred())
	for _, name := range []string{"../secret", "link/secret"} {
		_, err := store.Open(t.Context(), name)
		g.Expect(err).To(HaveOccurred(), name)
		_, err = store.Create(t.Context(), name)
		g.Expect(err).To(HaveOccurred(), name)
		g.Expect(store.Delete(t.Context(), name)).NotTo(Succeed(), name)
	}
	_, err = OpenFolder(filepath.Join(dir, "missing"))
	g.Expect(err).To(HaveOccurred())
}

// A disk that is full is told apart: nobody helps but a person.
func TestFolderThatIsFull(t *testing.T) {
	g := NewWithT(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	g.Expect(err).NotTo(HaveOccurred())
	root, err := os.OpenRoot(t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	object := &file{to: full, root: root, partial: "partial", name: "name"}
	_, err = io.WriteString(object, "text")
	g.Expect(reasonOf(err)).To(Equal(reason.StoreRefuses))
	object.Abort()
}
