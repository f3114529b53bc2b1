package v1alpha1_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// strict has the API server refuse fields that it does not know, so that a misspelled one is not taken for one that is accepted.
const strict = client.FieldValidation(metav1.FieldValidationStrict)

// object is one of a kind, whose spec has some fields changed; a nil value removes a field.
func object(kind string, spec, changes values) *unstructured.Unstructured {
	spec = maps.Clone(spec)
	for field, value := range changes {
		if spec[field] = value; value == nil {
			delete(spec, field)
		}
	}
	o := &unstructured.Unstructured{Object: values{"spec": spec}}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	o.SetNamespace(corev1.NamespaceDefault)
	o.SetGenerateName("snapshots-")
	return o
}

func snapshot(changes values) *unstructured.Unstructured {
	return object("ConsulSnapshot", values{"clusterName": "consul"}, changes)
}

func schedule(changes values) *unstructured.Unstructured {
	return object("ConsulSnapshotSchedule", values{"clusterName": "consul", "schedule": "@daily"}, changes)
}

func restore(changes values) *unstructured.Unstructured {
	return object("ConsulRestore", values{"clusterName": "consul", "from": values{"snapshotName": "daily"}}, changes)
}

func from(source values) *unstructured.Unstructured { return restore(values{"from": source}) }

func restoreOf(name string) *unstructured.Unstructured { return from(values{"object": name}) }

// keep is a schedule that keeps some snapshots.
func keep(retention values) *unstructured.Unstructured {
	return schedule(values{"retention": retention})
}

// named gives an object a name of some length.
func named(o *unstructured.Unstructured, length int) *unstructured.Unstructured {
	o.SetGenerateName("")
	o.SetName(strings.Repeat("x", length))
	return o
}

func withoutSpec(o *unstructured.Unstructured) *unstructured.Unstructured {
	delete(o.Object, "spec")
	return o
}

// stored is a cluster whose snapshots go to a destination, in clear; s3 and claim say to which bucket or volume.
func stored(destination values) *unstructured.Unstructured {
	return cluster(values{"snapshots": values{"destination": destination, "encryption": values{"disabled": true}}})
}

func s3(changes values) *unstructured.Unstructured {
	bucket := values{"bucket": "backups"}
	maps.Copy(bucket, changes)
	return stored(values{"s3": bucket})
}

func claim(changes values) *unstructured.Unstructured {
	volume := values{"name": "backups"}
	maps.Copy(volume, changes)
	return stored(values{"volumeClaim": volume})
}

// encrypted is a cluster whose snapshots are encrypted in some way, and snapshots one with any other field of that part.
func encrypted(encryption values) *unstructured.Unstructured {
	return snapshots("encryption", encryption)
}

func snapshots(field string, value any) *unstructured.Unstructured {
	return cluster(values{"snapshots": values{field: value}})
}

func bootstrap(from values) *unstructured.Unstructured { return cluster(values{"bootstrap": from}) }

func bootstrapOf(source values) *unstructured.Unstructured {
	return bootstrap(values{"fromSnapshot": source})
}

func autoGrow(size string, limit any) *unstructured.Unstructured {
	return cluster(values{"storage": values{"size": size, "autoGrow": values{"limit": limit}}})
}

// snapshotFirst is a cluster that is upgraded after a snapshot.
func snapshotFirst() *unstructured.Unstructured {
	c := claim(nil)
	c.Object["spec"].(values)["update"] = values{"snapshotFirst": true}
	return c
}

// recipients are so many public keys.
func recipients(n int) (keys []any) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("age1x%d", i))
	}
	return keys
}

func expectOutcome(t *testing.T, err error, refused string) {
	t.Helper()
	if refused == "" {
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		return
	}
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring(refused)))
}

func TestSnapshotsAreAcceptedOrRefusedByName(t *testing.T) {
	const (
		oneSource   = "set either snapshotName or object"
		oneStore    = "set either s3 or volumeClaim"
		oneKey      = "set one of recipients, passphraseSecretRef and disabled: true"
		needsObject = "sha256 needs object: of a snapshotName it is known"
		noDots      = "must not contain . or .."
		toS3        = "spec.snapshots.destination.s3."
		toClaim     = "spec.snapshots.destination.volumeClaim."
		matches     = " in body should match"
		tooLong     = ": Too long"
		tooShort    = " in body should be at least"
		otherWithin = "within must be between 1m and 24h"
		otherLate   = "startingDeadline must be between 1m and 168h"
		otherAge    = "age must be between 1h and 87600h"
		otherLimit  = "autoGrow.limit must not be less than size"
		needsStore  = "update.snapshotFirst: true needs snapshots.destination"
	)
	sum := strings.Repeat("0a", 32)
	long := func(length int) string { return strings.Repeat("x", length) }
	of := func(name string) values { return values{"clusterName": name} }
	at := func(schedule string) values { return values{"schedule": schedule} }
	secret, elsewhere := values{"name": "keys"}, values{"name": "a/b"}
	annotations, pullSecrets := values{}, slices.Repeat([]any{secret}, 17)
	for i := range 33 {
		annotations[fmt.Sprint("a", i)] = "x"
	}

	for name, test := range map[string]struct {
		object  *unstructured.Unstructured
		refused string // why; empty if it is accepted
	}{
		"a snapshot":                           {snapshot(nil), ""},
		"a snapshot with everything":           {snapshot(values{"verify": "Restore", "within": "24h"}), ""},
		"a snapshot in a minute":               {snapshot(values{"within": "1m"}), ""},
		"a snapshot that is tried too briefly": {snapshot(values{"within": "59s"}), otherWithin},
		"a snapshot that is tried too long":    {snapshot(values{"within": "24h1s"}), otherWithin},
		"a snapshot within a word":             {snapshot(values{"within": "soon"}), "spec.within"},
		"a snapshot verified by hope":          {snapshot(values{"verify": "Hope"}), `spec.verify: Unsupported value: "Hope"`},
		"a snapshot without a spec":            {withoutSpec(snapshot(nil)), "spec: Required value"},
		"a snapshot of nothing":                {snapshot(values{"clusterName": nil}), "spec.clusterName: Required value"},
		"a snapshot of capitals":               {snapshot(of("Consul")), "spec.clusterName" + matches},
		"a snapshot elsewhere":                 {snapshot(of("other/consul")), "spec.clusterName" + matches},
		"a snapshot of a long name":            {snapshot(of(long(40))), ""},
		"a snapshot of too long a name":        {snapshot(of(long(41))), "spec.clusterName" + tooLong},
		"the longest name of a snapshot":       {named(snapshot(nil), 57), ""},
		"too long a name of a snapshot": {
			named(snapshot(nil), 58), "metadata.name: at most 57 characters, since a Job is named after it",
		},

		"a schedule": {schedule(nil), ""},
		"a schedule with everything": {schedule(values{
			"timeZone": "America/Argentina/Buenos_Aires", "suspend": true, "immediate": true, "concurrency": "Replace",
			"startingDeadline": "168h", "verify": "Restore", "retention": values{
				"last": int64(1), "age": "1h", "daily": int64(1), "weekly": int64(1), "monthly": int64(1),
			},
		}), ""},
		"every hour":                     {schedule(at("@hourly")), ""},
		"every week":                     {schedule(at("@weekly")), ""},
		"every month":                    {schedule(at("@monthly")), ""},
		"every minute":                   {schedule(at("* * * * *")), ""},
		"every six hours":                {schedule(at("30 */6 * * *")), ""},
		"with names and ranges":          {schedule(at("0  0 1-15/2,31 JAN-MAR mon")), ""},
		"no time":                        {schedule(values{"schedule": nil}), "spec.schedule: Required value"},
		"a time of few letters":          {schedule(at("* * *")), "spec.schedule" + tooShort},
		"a time of many letters":         {schedule(at(strings.Repeat("0,", 60) + "0 0 * * *")), "spec.schedule" + tooLong},
		"every year":                     {schedule(at("@yearly")), "spec.schedule" + matches},
		"every while":                    {schedule(at("@every 1h")), "spec.schedule" + matches},
		"four fields":                    {schedule(at("0 0 * *")), "spec.schedule" + matches},
		"six fields":                     {schedule(at("0 0 0 * * *")), "spec.schedule" + matches},
		"a blank before":                 {schedule(at(" 0 0 * * *")), "spec.schedule" + matches},
		"a time zone in the time":        {schedule(at("TZ=UTC 0 0 * * *")), "spec.schedule" + matches},
		"a time zone by its offset":      {schedule(values{"timeZone": "Etc/GMT+12"}), ""},
		"a time zone above all":          {schedule(values{"timeZone": "../../etc/passwd"}), "spec.timeZone" + matches},
		"a time zone of the root":        {schedule(values{"timeZone": "/etc/localtime"}), "spec.timeZone" + matches},
		"a time zone without a name":     {schedule(values{"timeZone": ""}), "spec.timeZone" + matches},
		"a time zone of a long name":     {schedule(values{"timeZone": long(64)}), ""},
		"a time zone of too long name":   {schedule(values{"timeZone": long(65)}), "spec.timeZone" + tooLong},
		"two at once":                    {schedule(values{"concurrency": "Allow"}), `spec.concurrency: Unsupported value: "Allow"`},
		"hardly late":                    {schedule(values{"startingDeadline": "1m"}), ""},
		"never late":                     {schedule(values{"startingDeadline": "59s"}), otherLate},
		"too late":                       {schedule(values{"startingDeadline": "168h1s"}), otherLate},
		"late by a word":                 {schedule(values{"startingDeadline": "later"}), "spec.startingDeadline"},
		"a schedule verified by hope":    {schedule(values{"verify": "Hope"}), `spec.verify: Unsupported value: "Hope"`},
		"keep by nothing":                {keep(values{}), "spec.retention in body should have at least 1 properties"},
		"keep many":                      {keep(values{"last": int64(1000), "age": "87600h"}), ""},
		"keep many by day":               {keep(values{"daily": int64(366), "weekly": int64(520), "monthly": int64(120)}), ""},
		"keep none of the last":          {keep(values{"last": int64(0)}), "spec.retention.last in body should be greater"},
		"keep too many of the last":      {keep(values{"last": int64(1001)}), "spec.retention.last in body should be less"},
		"keep the youngest":              {keep(values{"age": "59m59s"}), otherAge},
		"keep the oldest":                {keep(values{"age": "87600h1s"}), otherAge},
		"keep no day":                    {keep(values{"daily": int64(0)}), "spec.retention.daily in body should be greater"},
		"keep too many days":             {keep(values{"daily": int64(367)}), "spec.retention.daily in body should be less"},
		"keep no week":                   {keep(values{"weekly": int64(0)}), "spec.retention.weekly in body should be greater"},
		"keep too many weeks":            {keep(values{"weekly": int64(521)}), "spec.retention.weekly in body should be less"},
		"keep no month":                  {keep(values{"monthly": int64(0)}), "spec.retention.monthly in body should be greater"},
		"keep too many months":           {keep(values{"monthly": int64(121)}), "spec.retention.monthly in body should be less"},
		"a schedule without a spec":      {withoutSpec(schedule(nil)), "spec: Required value"},
		"a schedule of nothing":          {schedule(values{"clusterName": nil}), "spec.clusterName: Required value"},
		"a schedule of capitals":         {schedule(of("Consul")), "spec.clusterName" + matches},
		"a schedule of too long a name":  {schedule(of(long(41))), "spec.clusterName" + tooLong},
		"the longest name of a schedule": {named(schedule(nil), 38), ""},
		"too long a name of a schedule": {
			named(schedule(nil), 39), "metadata.name: at most 38 characters, since snapshots are named after it",
		},

		"a restore":                      {restore(nil), ""},
		"a restore without a snapshot":   {restore(values{"skipSnapshot": true}), ""},
		"a restore of an object":         {restoreOf("backups/default/consul/daily-1.snap.age"), ""},
		"a restore of a sum":             {from(values{"object": "a/b.snap", "sha256": sum}), ""},
		"a restore of nothing":           {restore(values{"from": nil}), "spec.from: Required value"},
		"a restore of anything":          {from(values{}), oneSource},
		"a restore of two":               {from(values{"snapshotName": "daily", "object": "a/b.snap"}), oneSource},
		"a restore of a snapshot's sum":  {from(values{"snapshotName": "daily", "sha256": sum}), needsObject},
		"a restore of just a sum":        {from(values{"sha256": sum}), needsObject},
		"a restore of a sum in capitals": {from(values{"object": "a", "sha256": strings.ToUpper(sum)}), "spec.from.sha256" + matches},
		"a restore of half a sum":        {from(values{"object": "a", "sha256": sum[:32]}), "spec.from.sha256" + tooShort},
		"a restore of a longer sum":      {from(values{"object": "a", "sha256": sum + "0"}), "spec.from.sha256: Too long"},
		"a restore of no name":           {from(values{"snapshotName": ""}), "spec.from.snapshotName" + tooShort},
		"a restore of a long name":       {from(values{"snapshotName": long(253)}), ""},
		"a restore of too long a name":   {from(values{"snapshotName": long(254)}), "spec.from.snapshotName" + tooLong},
		"an object without a name":       {restoreOf(""), "spec.from.object" + tooShort},
		"an object of a long name":       {restoreOf(long(1024)), ""},
		"an object of too long a name":   {restoreOf(long(1025)), "spec.from.object" + tooLong},
		"an object of the root":          {restoreOf("/etc/passwd"), "spec.from.object" + matches},
		"an object that is a folder":     {restoreOf("backups/"), "spec.from.object" + matches},
		"an object in no folder":         {restoreOf("a//b"), "spec.from.object" + matches},
		"an object of two words":         {restoreOf("a b"), "spec.from.object" + matches},
		"an object on two lines":         {restoreOf("a\n"), "spec.from.object" + matches},
		"an object above":                {restoreOf("a/../b"), "object " + noDots},
		"an object beside":               {restoreOf("a/./b"), "object " + noDots},
		"an object above all":            {restoreOf(".."), "object " + noDots},
		"an object with dots":            {restoreOf("a..b/.c"), ""},
		"a restore without a spec":       {withoutSpec(restore(nil)), "spec: Required value"},
		"a restore into nothing":         {restore(values{"clusterName": nil}), "spec.clusterName: Required value"},
		"a restore into capitals":        {restore(of("Consul")), "spec.clusterName" + matches},
		"a restore into too long a name": {restore(of(long(41))), "spec.clusterName" + tooLong},
		"the longest name of a restore":  {named(restore(nil), 44), ""},
		"too long a name of a restore": {
			named(restore(nil), 45), "metadata.name: at most 44 characters, since Jobs are named after it",
		},

		"a cluster with snapshots": {cluster(values{"snapshots": values{
			"destination": values{"s3": values{
				"bucket": "my.bucket-1", "prefix": "a_b/C.d", "region": "eu-central-1", "endpoint": "https://minio.storage.svc:9000",
				"pathStyle": true, "credentialsSecretRef": secret, "caSecretRef": secret,
			}},
			"encryption":                values{"recipients": recipients(16), "identitySecretRef": values{"name": "a", "key": "b"}},
			"serviceAccountAnnotations": values{"role": "x"}, "imagePullSecrets": pullSecrets[1:],
			"resources":       values{"requests": values{"memory": "100Mi"}},
			"verifyResources": values{"limits": values{"memory": "1Gi"}},
		}}), ""},
		"a bucket":                    {s3(nil), ""},
		"a volume":                    {claim(values{"name": "a.b", "prefix": "backups"}), ""},
		"no destination":              {stored(values{}), oneStore},
		"two destinations":            {stored(values{"s3": values{"bucket": "abc"}, "volumeClaim": values{"name": "a"}}), oneStore},
		"a destination in clear":      {snapshots("destination", values{"volumeClaim": values{"name": "a"}}), "encryption must be set"},
		"a bucket without a name":     {stored(values{"s3": values{}}), toS3 + "bucket: Required value"},
		"a bucket of two letters":     {s3(values{"bucket": "ab"}), toS3 + "bucket" + tooShort},
		"a bucket of many letters":    {s3(values{"bucket": long(63)}), ""},
		"a bucket of too many":        {s3(values{"bucket": long(64)}), toS3 + "bucket" + tooLong},
		"a bucket in capitals":        {s3(values{"bucket": "Backups"}), toS3 + "bucket" + matches},
		"a bucket with a folder":      {s3(values{"bucket": "back/ups"}), toS3 + "bucket" + matches},
		"a bucket that ends in a dot": {s3(values{"bucket": "backups."}), toS3 + "bucket" + matches},
		"a prefix of the root":        {s3(values{"prefix": "/a"}), toS3 + "prefix" + matches},
		"a prefix that goes on":       {s3(values{"prefix": "a/"}), toS3 + "prefix" + matches},
		"a prefix of two words":       {s3(values{"prefix": "a b"}), toS3 + "prefix" + matches},
		"a prefix above":              {s3(values{"prefix": "a/../b"}), "prefix " + noDots},
		"a prefix beside":             {s3(values{"prefix": "."}), "prefix " + noDots},
		"a prefix with dots":          {s3(values{"prefix": "a..b/.c"}), ""},
		"a long prefix":               {s3(values{"prefix": long(256)}), ""},
		"too long a prefix":           {s3(values{"prefix": long(257)}), toS3 + "prefix" + tooLong},
		"a region with a folder":      {s3(values{"region": "eu/central"}), toS3 + "region" + matches},
		"a long region":               {s3(values{"region": long(63)}), ""},
		"too long a region":           {s3(values{"region": long(64)}), toS3 + "region" + tooLong},
		"an endpoint in clear":        {s3(values{"endpoint": "http://minio:9000"}), ""},
		"an endpoint without http":    {s3(values{"endpoint": "minio:9000"}), toS3 + "endpoint" + matches},
		"an endpoint by file":         {s3(values{"endpoint": "file://etc"}), toS3 + "endpoint" + matches},
		"an endpoint with a path":     {s3(values{"endpoint": "https://minio/x"}), toS3 + "endpoint" + matches},
		"an endpoint with a query":    {s3(values{"endpoint": "https://minio?x"}), toS3 + "endpoint" + matches},
		"an endpoint of two words":    {s3(values{"endpoint": "https://mi nio"}), toS3 + "endpoint" + matches},
		"too long an endpoint":        {s3(values{"endpoint": "https://" + long(505)}), toS3 + "endpoint" + tooLong},
		"credentials of no name":      {s3(values{"credentialsSecretRef": values{}}), "credentialsSecretRef.name: Required value"},
		"credentials elsewhere":       {s3(values{"credentialsSecretRef": elsewhere}), "credentialsSecretRef.name" + matches},
		"authorities elsewhere":       {s3(values{"caSecretRef": elsewhere}), toS3 + "caSecretRef.name" + matches},
		"a volume without a name":     {stored(values{"volumeClaim": values{}}), toClaim + "name: Required value"},
		"a volume in capitals":        {claim(values{"name": "Backups"}), toClaim + "name" + matches},
		"a volume of too long name":   {claim(values{"name": long(254)}), toClaim + "name" + tooLong},
		"a folder of the root":        {claim(values{"prefix": "/a"}), toClaim + "prefix" + matches},
		"a folder above":              {claim(values{"prefix": "../a"}), "prefix " + noDots},
		"too long a folder":           {claim(values{"prefix": long(257)}), toClaim + "prefix" + tooLong},

		"keys alone":            {encrypted(values{"recipients": recipients(1)}), ""},
		"keys, and not clear":   {encrypted(values{"recipients": recipients(1), "disabled": false}), ""},
		"a passphrase":          {encrypted(values{"passphraseSecretRef": secret}), ""},
		"no encryption":         {encrypted(values{"disabled": true}), ""},
		"some encryption":       {encrypted(values{}), oneKey},
		"not no encryption":     {encrypted(values{"disabled": false}), oneKey},
		"keys in clear":         {encrypted(values{"recipients": recipients(1), "disabled": true}), oneKey},
		"a passphrase in clear": {encrypted(values{"passphraseSecretRef": secret, "disabled": true}), oneKey},
		"keys and a passphrase": {encrypted(values{"recipients": recipients(1), "passphraseSecretRef": secret}), oneKey},
		"a private key, but no public one": {
			encrypted(values{"passphraseSecretRef": secret, "identitySecretRef": secret}), "identitySecretRef needs recipients",
		},
		"no keys":                {encrypted(values{"recipients": []any{}}), "recipients in body should have at least 1 items"},
		"too many keys":          {encrypted(values{"recipients": recipients(17)}), "encryption.recipients: Too many"},
		"the same key":           {encrypted(values{"recipients": append(recipients(1), recipients(1)...)}), "Duplicate value"},
		"a private key":          {encrypted(values{"recipients": []any{"AGE-SECRET-KEY-1X"}}), "encryption.recipients[0]" + matches},
		"a key of ssh":           {encrypted(values{"recipients": []any{"ssh-ed25519 x"}}), "encryption.recipients[0]" + matches},
		"a long key":             {encrypted(values{"recipients": []any{"age1" + long(4093)}}), "encryption.recipients[0]" + tooLong},
		"a passphrase elsewhere": {encrypted(values{"passphraseSecretRef": elsewhere}), "passphraseSecretRef.name" + matches},
		"a private key elsewhere": {
			encrypted(values{"recipients": recipients(1), "identitySecretRef": elsewhere}),
			"identitySecretRef.name" + matches,
		},
		"too many annotations":  {snapshots("serviceAccountAnnotations", annotations), "serviceAccountAnnotations: Too many"},
		"too many pull secrets": {snapshots("imagePullSecrets", pullSecrets), "imagePullSecrets: Too many"},

		"begin with a snapshot":      {bootstrapOf(values{"snapshotName": "daily"}), ""},
		"begin with an object":       {bootstrapOf(values{"object": "a/b.snap", "sha256": sum}), ""},
		"begin with volumes":         {bootstrap(values{"fromVolumes": values{}}), ""},
		"begin with volumes of one":  {bootstrap(values{"fromVolumes": values{"clusterUID": long(64)}}), ""},
		"begin with nothing":         {bootstrap(values{}), ""},
		"begin with any snapshot":    {bootstrapOf(values{}), oneSource},
		"begin with two snapshots":   {bootstrapOf(values{"snapshotName": "a", "object": "b"}), oneSource},
		"begin with a sum":           {bootstrapOf(values{"snapshotName": "a", "sha256": sum}), needsObject},
		"begin with an object above": {bootstrapOf(values{"object": "../b"}), "object " + noDots},
		"begin with both": {
			bootstrap(values{"fromSnapshot": values{"snapshotName": "a"}, "fromVolumes": values{}}),
			"set either fromSnapshot or fromVolumes",
		},
		"begin with volumes of a long name": {
			bootstrap(values{"fromVolumes": values{"clusterUID": long(65)}}), "spec.bootstrap.fromVolumes.clusterUID" + tooLong,
		},

		"grow":                          {autoGrow("10Gi", "20Gi"), ""},
		"grow no further":               {autoGrow("10Gi", "10240Mi"), ""},
		"grow to so many bytes":         {autoGrow("1Gi", int64(2<<30)), ""},
		"grow to less":                  {autoGrow("10Gi", "10239Mi"), otherLimit},
		"grow to few bytes":             {autoGrow("10Gi", int64(10)), otherLimit},
		"grow to plenty":                {autoGrow("10Gi", "plenty"), "spec.storage.autoGrow.limit"},
		"grow without a limit":          {cluster(values{"storage": values{"autoGrow": values{}}}), "autoGrow.limit: Required value"},
		"grow to less than the default": {cluster(values{"storage": values{"autoGrow": values{"limit": "5Gi"}}}), otherLimit},

		"a snapshot first, and no destination": {cluster(values{"update": values{"snapshotFirst": true}}), needsStore},
		"a snapshot first, to nowhere": {
			cluster(values{"update": values{"snapshotFirst": true}, "snapshots": values{"encryption": values{"disabled": true}}}),
			needsStore,
		},
		"a snapshot first, to a volume": {snapshotFirst(), ""},
		"no snapshot first":             {cluster(values{"update": values{"snapshotFirst": false}}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			expectOutcome(t, api.Create(t.Context(), test.object, strict, client.DryRunAll), test.refused)
		})
	}
}

func TestChangesOfSnapshotsAreRefusedByName(t *testing.T) {
	const (
		snapshotOnce = "a snapshot is taken once: create another ConsulSnapshot"
		restoreOnce  = "a restore happens once: create another ConsulRestore"
		sameCluster  = "clusterName cannot change: create another ConsulSnapshotSchedule"
	)
	for name, test := range map[string]struct {
		object  *unstructured.Unstructured
		field   string
		value   any    // nil removes the field
		refused string // why; empty if it is accepted
	}{
		"a snapshot of another cluster":   {snapshot(nil), "spec.clusterName", "other", snapshotOnce},
		"another check of a snapshot":     {snapshot(nil), "spec.verify", "Restore", snapshotOnce},
		"another limit of a snapshot":     {snapshot(nil), "spec.within", "2h", snapshotOnce},
		"a label of a snapshot":           {snapshot(nil), "metadata.labels", values{"a": "b"}, ""},
		"a schedule of another cluster":   {schedule(nil), "spec.clusterName", "other", sameCluster},
		"another time of a schedule":      {schedule(nil), "spec.schedule", "@hourly", ""},
		"a restore into another cluster":  {restore(nil), "spec.clusterName", "other", restoreOnce},
		"a restore of another snapshot":   {restore(nil), "spec.from.snapshotName", "other", restoreOnce},
		"a restore of another sum":        {restoreOf("a"), "spec.from.sha256", strings.Repeat("0", 64), restoreOnce},
		"a restore that hurries":          {restore(nil), "spec.skipSnapshot", true, restoreOnce},
		"a label of a restore":            {restore(nil), "metadata.labels", values{"a": "b"}, ""},
		"another volume of a destination": {claim(nil), "spec.snapshots.destination.volumeClaim.name", "other", ""},
		"a destination in clear":          {claim(nil), "spec.snapshots.encryption", nil, "encryption must be set"},
		"no destination any more":         {claim(nil), "spec.snapshots", nil, ""},
		"a snapshot first, to nowhere":    {snapshotFirst(), "spec.snapshots", nil, "snapshotFirst: true needs snapshots.destination"},
		"a size beyond the limit":         {autoGrow("10Gi", "20Gi"), "spec.storage.size", "21Gi", "must not be less than size"},
		"a size within the limit":         {autoGrow("10Gi", "20Gi"), "spec.storage.size", "20Gi", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o, path := test.object, strings.Split(test.field, ".")
			g.Expect(api.Create(t.Context(), o, strict)).To(Succeed())
			if unstructured.RemoveNestedField(o.Object, path...); test.value != nil {
				g.Expect(unstructured.SetNestedField(o.Object, test.value, path...)).To(Succeed())
			}
			expectOutcome(t, api.Update(t.Context(), o, strict), test.refused)
		})
	}
}

// A Go client that names no more than it has to gets the defaults, and sends nothing that stands in their way.
func TestDefaultsOfSnapshots(t *testing.T) {
	g := NewWithT(t)
	of := metav1.ObjectMeta{Namespace: corev1.NamespaceDefault, GenerateName: "defaults-"}
	once := &v1alpha1.ConsulSnapshot{ObjectMeta: of, Spec: v1alpha1.ConsulSnapshotSpec{ClusterName: "consul"}}
	g.Expect(api.Create(t.Context(), once)).To(Succeed())
	g.Expect(once.Spec).To(Equal(v1alpha1.ConsulSnapshotSpec{
		ClusterName: "consul", Verify: v1alpha1.VerifyArchive, Within: &metav1.Duration{Duration: v1alpha1.DefaultSnapshotWithin},
	}))
	g.Expect(v1alpha1.DefaultSnapshotWithin).To(Equal(time.Hour))

	often := &v1alpha1.ConsulSnapshotSchedule{
		ObjectMeta: of, Spec: v1alpha1.ConsulSnapshotScheduleSpec{ClusterName: "consul", Schedule: "@daily"},
	}
	g.Expect(api.Create(t.Context(), often)).To(Succeed())
	g.Expect(often.Spec).To(Equal(v1alpha1.ConsulSnapshotScheduleSpec{
		ClusterName: "consul", Schedule: "@daily", TimeZone: "UTC", Concurrency: v1alpha1.ConcurrencyForbid,
		StartingDeadline: &metav1.Duration{Duration: v1alpha1.DefaultStartingDeadline}, Verify: v1alpha1.VerifyArchive,
	}))
	g.Expect(v1alpha1.DefaultStartingDeadline).To(Equal(time.Hour))

	var read v1alpha1.ConsulCluster
	bucket := s3(nil)
	g.Expect(api.Create(t.Context(), bucket)).To(Succeed())
	g.Expect(api.Get(t.Context(), client.ObjectKeyFromObject(bucket), &read)).To(Succeed())
	g.Expect(*read.Spec.Snapshots.Destination.S3).To(Equal(v1alpha1.S3Destination{Bucket: "backups", Region: "us-east-1"}))
	g.Expect(read.Spec.Update.SnapshotFirst).To(BeNil(), "it depends on the destination")
	g.Expect(read.Spec.Storage.AutoGrow).To(BeNil())
}

func TestWhatKubectlShowsOfSnapshots(t *testing.T) {
	for kind, test := range map[string]struct{ short, columns string }{ // in parentheses what -o wide adds
		"consulsnapshots":         {"csnap", "Cluster, Status, Index, Size, Verified, Completed, Message, (Object)"},
		"consulsnapshotschedules": {"csched", "Cluster, Schedule, Status, Last Good, Next, Kept, (Message)"},
		"consulrestores":          {"crest", "Cluster, Status, Object, Index, Completed, Message"},
	} {
		t.Run(kind, func(t *testing.T) {
			g := NewWithT(t)
			crd := &unstructured.Unstructured{}
			crd.SetAPIVersion("apiextensions.k8s.io/v1")
			crd.SetKind("CustomResourceDefinition")
			g.Expect(api.Get(t.Context(), client.ObjectKey{Name: kind + "." + v1alpha1.GroupVersion.Group}, crd)).To(Succeed())
			spec := crd.Object["spec"].(values)
			g.Expect(spec["names"]).To(HaveKeyWithValue("shortNames", ConsistOf(test.short)))
			version := spec["versions"].([]any)[0].(values)
			var columns []string
			for _, column := range version["additionalPrinterColumns"].([]any) {
				name := column.(values)["name"].(string)
				if column.(values)["priority"] != nil {
					name = "(" + name + ")"
				}
				columns = append(columns, name)
				// A column of a field that there is not would stay empty for ever.
				path := []string{"schema", "openAPIV3Schema"}
				field, _, _ := strings.Cut(column.(values)["jsonPath"].(string), "[")
				for _, part := range strings.Split(field, ".")[1:] {
					path = append(path, "properties", part)
				}
				_, exists, err := unstructured.NestedMap(version, path...)
				g.Expect(exists, err).To(BeTrue(), field)
			}
			g.Expect(strings.Join(columns, ", ")).To(Equal(test.columns))
		})
	}
}
