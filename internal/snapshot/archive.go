package snapshot

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The files of an archive (https://developer.hashicorp.com/consul/commands/snapshot). The last one holds the SHA-256 sums of the
// others.
const (
	fileMeta  = "meta.json"
	fileState = "state.bin"
	fileSums  = "SHA256SUMS"
)

// mostText is how many bytes of a file other than the state are read: they have a few hundred.
const mostText = 1 << 20

// Contents are what an archive holds.
type Contents struct {
	// Index and Term are those of the last Raft entry in it.
	Index, Term uint64
	// Records counts what is in it, by the names that `consul snapshot inspect` prints.
	Records map[string]int
	// LockedKeys is how many keys a session holds, which may go with it.
	LockedKeys int
	// Servers are those that were registered when it was saved.
	Servers []Server
	// Datacenter is theirs; empty if there are none.
	Datacenter string
}

// Server is a Consul server that is registered in an archive.
type Server struct{ Name, ID, Version string }

// Read reads an archive to its end and checks it: the sums, the end of the compressed stream, which one that was cut off does not
// have, and each record. It needs no more memory than the largest record.
func Read(archive io.Reader) (*Contents, error) {
	whole := bufio.NewReader(archive)
	unpacked, err := gzip.NewReader(whole)
	if err != nil {
		return nil, fmt.Errorf("it is not a Consul snapshot: %w", err)
	}
	read := files{sums: map[string]string{}}
	if err := read.all(tar.NewReader(unpacked)); err != nil {
		return nil, err
	}
	// Only the end of the stream says that what came before was whole.
	if more, err := io.Copy(io.Discard, unpacked); err != nil || more > 0 {
		return nil, errors.Join(fmt.Errorf("%d bytes follow the archive", more), err)
	}
	return read.contents()
}

// files are what was read of an archive.
type files struct {
	meta  metadata
	state *Contents
	// sums are the SHA-256 sums of the files, in hexadecimal, and stated what the archive says they are.
	sums   map[string]string
	stated []byte
}

// metadata is what is read of meta.json, which Raft writes.
type metadata struct {
	Index, Term uint64
	Size        int64
}

func (f *files) all(archive *tar.Reader) error {
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the archive: %w", err)
		}
		if err := f.one(header, archive); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
	}
}

func (f *files) one(header *tar.Header, from io.Reader) error {
	sum := sha256.New()
	from = io.TeeReader(from, sum)
	switch header.Name {
	case fileMeta:
		text, err := io.ReadAll(io.LimitReader(from, mostText))
		if err == nil {
			err = json.Unmarshal(text, &f.meta)
		}
		if err != nil {
			return err
		}
	case fileState:
		var err error
		if f.state, err = readState(from); err != nil {
			return err
		}
		if f.meta.Size != header.Size {
			return fmt.Errorf("it has %d bytes, and %s says %d", header.Size, fileMeta, f.meta.Size)
		}
	case fileSums:
		text, err := io.ReadAll(io.LimitReader(from, mostText))
		f.stated = text
		return err
	default:
		return errors.New("a Consul snapshot has no such file")
	}
	f.sums[header.Name] = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// contents returns what was read if all files are there and their sums are as stated.
func (f *files) contents() (*Contents, error) {
	stated := map[string]string{}
	for line := range strings.Lines(string(bytes.TrimSpace(f.stated))) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		stated[name] = sum
	}
	for _, name := range []string{fileMeta, fileState} {
		if f.sums[name] == "" || f.sums[name] != stated[name] {
			return nil, fmt.Errorf("%s is missing, or its SHA-256 sum is wrong", name)
		}
	}
	f.state.Index, f.state.Term = f.meta.Index, f.meta.Term
	return f.state, nil
}
