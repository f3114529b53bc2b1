package snapshot

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/hashicorp/go-msgpack/v2/codec"
	. "github.com/onsi/gomega"
)

// packed is a file of an archive.
type packed struct{ name, text string }

// archiveOf is an archive of these files, with their sums.
func archiveOf(files ...packed) []byte {
	var sums string
	for _, f := range files {
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(f.text)), f.name)
	}
	return pack(append(files, packed{fileSums, sums})...)
}

func pack(files ...packed) []byte {
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	archive := tar.NewWriter(compressed)
	for _, f := range files {
		must(archive.WriteHeader(&tar.Header{Name: f.name, Size: int64(len(f.text)), Mode: 0o600}))
		must(io.WriteString(archive, f.text))
	}
	must(archive.Close())
	must(compressed.Close())
	return out.Bytes()
}

func must(results ...any) {
	for _, result := range results {
		if err, failed := result.(error); failed && err != nil {
			panic(err)
		}
	}
}

// record is one of the state.
type record struct {
	kind  byte
	value any
}

func stateOf(records ...record) string {
	var out bytes.Buffer
	encoder := codec.NewEncoder(&out, &codec.MsgpackHandle{})
	must(encoder.Encode(map[string]any{"LastIndex": 7}))
	for _, r := range records {
		out.WriteByte(r.kind)
		must(encoder.Encode(r.value))
	}
	return out.String()
}

func metaOf(state string) packed {
	return packed{fileMeta, fmt.Sprintf(`{"Version":1,"ID":"2-7-1","Index":7,"Term":2,"Size":%d}`, len(state))}
}

// aServer is how Consul registers a server.
func aServer(name, peer string) map[string]any {
	return map[string]any{
		"Node": name, "ID": "id-of-" + name, "Datacenter": "dc1", "PeerName": peer, "Address": "10.0.0.1",
		"Service": map[string]any{"Service": "consul", "Port": 8300, "Meta": map[string]any{"version": "1.22.7"}},
	}
}

func good() string {
	return stateOf(
		record{0, aServer("consul-0", "")}, record{0, aServer("foreign-0", "elsewhere")},
		record{2, map[string]any{"Key": "a", "Value": bytes.Repeat([]byte{1}, 100_000)}},
		record{2, map[string]any{"Key": "b", "Value": nil}},
		record{6, []any{map[string]any{"Node": "consul-0"}}}, record{42, []byte("protobuf")}, record{99, "of the future"},
	)
}

func TestRead(t *testing.T) {
	g := NewWithT(t)
	state := good()
	contents, err := Read(bytes.NewReader(archiveOf(metaOf(state), packed{fileState, state})))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(*contents).To(Equal(Contents{
		Index: 7, Term: 2, Datacenter: "dc1",
		Records: map[string]int{"Register": 2, "KVS": 2, "CoordinateBatchUpdate": 1, "Resource": 1, "Unknown(99)": 1},
		Servers: []Server{{Name: "consul-0", ID: "id-of-consul-0", Version: "1.22.7"}},
	}))
}

// Whatever is wrong with an archive is found.
func TestReadFindsDamage(t *testing.T) {
	state := good()
	whole := archiveOf(metaOf(state), packed{fileState, state})
	wrongSum := pack(metaOf(state), packed{fileState, state}, packed{fileSums, "00  meta.json\n00  state.bin\n"})
	cut := stateOf(record{2, "whole"})
	for name, archive := range map[string][]byte{
		"empty":                   {},
		"an HTML page":            []byte("<html>503 Service Unavailable</html>"),
		"the end is missing":      whole[:len(whole)-1],
		"half is missing":         whole[:len(whole)/2],
		"more follows":            append(slices.Clone(whole), 'x'),
		"another one follows":     append(slices.Clone(whole), whole...),
		"a sum is wrong":          wrongSum,
		"no state":                archiveOf(metaOf(state)),
		"no metadata":             archiveOf(packed{fileState, state}),
		"no sums":                 pack(metaOf(state), packed{fileState, state}),
		"the size is wrong":       archiveOf(metaOf("other"), packed{fileState, state}),
		"a file too many":         archiveOf(metaOf(state), packed{fileState, state}, packed{"passwd", "root"}),
		"a record is cut off":     archiveOf(metaOf(cut[:len(cut)-1]), packed{fileState, cut[:len(cut)-1]}),
		"metadata is no JSON":     archiveOf(packed{fileMeta, "{"}, packed{fileState, state}),
		"the state has no header": archiveOf(metaOf(""), packed{fileState, ""}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(archive))
			NewWithT(t).Expect(err).To(HaveOccurred())
		})
	}
}

// Each byte counts: no change of one is overlooked, but where the archive is the same once it is unpacked. Gzip has a time and
// the like in its header, and some bits of compressed data mean nothing; which ones differs from run to run.
func TestReadFindsEachChange(t *testing.T) {
	g := NewWithT(t)
	state := stateOf(record{2, map[string]any{"Key": "a", "Value": []byte("b")}})
	whole := archiveOf(metaOf(state), packed{fileState, state})
	unpacked := gunzip(whole)
	g.Expect(unpacked).NotTo(BeEmpty())
	for i := range whole {
		changed := slices.Clone(whole)
		changed[i] ^= 1
		if bytes.Equal(gunzip(changed), unpacked) {
			continue
		}
		_, err := Read(bytes.NewReader(changed))
		g.Expect(err).To(HaveOccurred(), "byte %d of %d", i, len(whole))
	}
}

// gunzip unpacks what is whole; nil if it is not.
func gunzip(archive []byte) []byte {
	reader, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil
	}
	unpacked, err := io.ReadAll(reader)
	if err != nil {
		return nil
	}
	return unpacked
}

func FuzzRead(f *testing.F) {
	state := good()
	f.Add(archiveOf(metaOf(state), packed{fileState, state}))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, archive []byte) {
		contents, err := Read(bytes.NewReader(archive))
		if (contents == nil) == (err == nil) {
			t.Fatalf("both or neither: %v, %v", contents, err)
		}
	})
}
