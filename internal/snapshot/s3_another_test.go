package snapshot

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/consul-operator/consul-operator/test/lib/objectstore"
)

// Object stores differ in what they can do beside what is asked of them here: one of another make does as well.
func TestBucketOfAnotherMake(t *testing.T) {
	g := NewWithT(t)
	store, err := objectstore.StartAnother(t.Context(), "../../bin", t.TempDir(), "backups")
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(store.Stop)
	options := BucketOptions{
		Bucket: "backups", Region: "us-east-1", Endpoint: store.URL, PathStyle: true, CredentialsDir: t.TempDir(),
	}
	g.Expect(objectstore.WriteCredentials(options.CredentialsDir)).To(Succeed())
	bucket, err := OpenBucket(t.Context(), options)
	g.Expect(err).NotTo(HaveOccurred())
	testStore(t, bucket)
}
