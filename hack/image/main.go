// Command image puts programs into a container image and writes it as a docker archive, without a container engine:
//
//	image --name=consul-operator:dev --out=image.tar --entrypoint=/consul-operator --user=65532:65532 bin/x=/consul-operator
//
// The image holds nothing but these files, so they have to be linked statically.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

type options struct {
	name, out, entrypoint, user, arch string
}

func main() {
	var o options
	flag.StringVar(&o.name, "name", "", "name:tag of the image")
	flag.StringVar(&o.out, "out", "", "archive to write")
	flag.StringVar(&o.entrypoint, "entrypoint", "", "path in the image of the program to run")
	flag.StringVar(&o.user, "user", "65532:65532", "user and group it runs as")
	flag.StringVar(&o.arch, "arch", runtime.GOARCH, "architecture that the programs are built for")
	flag.Parse()
	if err := run(o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(o options, files []string) error {
	if o.name == "" || o.out == "" || len(files) == 0 {
		return errors.New("usage: image --name=NAME:TAG --out=ARCHIVE [--entrypoint=PATH] FILE=PATH-IN-THE-IMAGE...")
	}
	tag, err := name.NewTag(o.name)
	if err != nil {
		return err
	}
	content, err := pack(files)
	if err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err != nil {
		return err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return err
	}
	config := &v1.ConfigFile{
		OS: "linux", Architecture: o.arch,
		Config: v1.Config{User: o.user, WorkingDir: "/", Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}},
	}
	if o.entrypoint != "" {
		config.Config.Entrypoint = []string{o.entrypoint}
	}
	base, err := image.ConfigFile()
	if err != nil {
		return err
	}
	config.RootFS = base.RootFS
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.out), 0o755); err != nil {
		return err
	}
	return tarball.WriteToFile(o.out, tag, image)
}

// pack makes the tar of a layer. Times and owners are fixed: the same programs give the same image.
func pack(files []string) ([]byte, error) {
	var buffer bytes.Buffer
	writer := tar.NewWriter(&buffer)
	made := map[string]bool{"/": true}
	for _, file := range files {
		source, target, ok := strings.Cut(file, "=")
		if !ok || !path.IsAbs(target) {
			return nil, fmt.Errorf("%q is not FILE=/PATH-IN-THE-IMAGE", file)
		}
		if err := makeFolders(writer, path.Dir(target), made); err != nil {
			return nil, err
		}
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Name: target[1:], Mode: 0o755, Size: int64(len(content)), Typeflag: tar.TypeReg}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(content); err != nil {
			return nil, err
		}
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// makeFolders adds a folder and those above it, each once.
func makeFolders(writer *tar.Writer, dir string, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	if err := makeFolders(writer, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	return writer.WriteHeader(&tar.Header{Name: dir[1:] + "/", Mode: 0o755, Typeflag: tar.TypeDir})
}
