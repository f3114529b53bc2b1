package main

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The pods of the local cluster are processes without mount namespaces, so they cannot have an /etc/hosts of their own.
// They read the file `hosts` in their working directory instead. What we build gets that by a linker flag, `-X` for
// the variable of package net that holds the path. In a copy of a program that was linked without it we write what the linker
// would have written.
const (
	hostsPath    = "/etc/hosts"
	hostsFlag    = "-X net.hostsFilePath=hosts"
	hostsPathEnd = "hosts" // as in hostsFlag, and what hostsPath ends in
)

// readHostsFile changes the variable in a file, to the last five bytes of what it holds: a string is where it begins and
// how long it is. A program that has no such variable is left as it is, checkHostsFile tells whether it needs it.
func readHostsFile(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	program, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return err
	}
	if program.Class != elf.ELFCLASS64 {
		return errors.New("it is no 64-bit program")
	}
	variables := stringsIn(program, content, hostsPath)
	if len(variables) == 0 {
		return nil
	}
	if len(variables) > 1 {
		return fmt.Errorf("%d variables in it hold %s", len(variables), hostsPath)
	}
	header := content[variables[0]:]
	skipped := uint64(len(hostsPath) - len(hostsPathEnd))
	program.ByteOrder.PutUint64(header, program.ByteOrder.Uint64(header)+skipped)
	program.ByteOrder.PutUint64(header[8:], uint64(len(hostsPathEnd)))
	return os.WriteFile(path, content, 0o755)
}

// stringsIn returns where in the file the variables are that hold a string: its address, then its length.
func stringsIn(program *elf.File, content []byte, text string) []int {
	var found []int
	for _, constants := range program.Progs {
		if constants.Type != elf.PT_LOAD || constants.Flags&elf.PF_W != 0 {
			continue
		}
		segment := content[constants.Off : constants.Off+constants.Filesz]
		for at, ok := next(segment, []byte(text), 0); ok; at, ok = next(segment, []byte(text), at+1) {
			header := headerOf(program.ByteOrder, constants.Vaddr+uint64(at), len(text))
			found = append(found, variablesWith(program, content, header)...)
		}
	}
	return found
}

func headerOf(order binary.ByteOrder, address uint64, length int) []byte {
	header := make([]byte, 16)
	order.PutUint64(header, address)
	order.PutUint64(header[8:], uint64(length))
	return header
}

func variablesWith(program *elf.File, content, header []byte) []int {
	var found []int
	for _, data := range program.Progs {
		if data.Type != elf.PT_LOAD || data.Flags&elf.PF_W == 0 {
			continue
		}
		segment := content[data.Off : data.Off+data.Filesz]
		for at, ok := next(segment, header, 0); ok; at, ok = next(segment, header, at+1) {
			found = append(found, int(data.Off)+at)
		}
	}
	return found
}

func next(in, what []byte, from int) (int, bool) {
	at := bytes.Index(in[from:], what)
	return from + at, at >= 0
}

// checkHostsFile lets a Consul look up a name that only a file `hosts` knows.
func checkHostsFile(ctx context.Context, path string) error {
	const name = "known-by-the-file-hosts"
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hosts-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte("127.0.0.1 "+name+"\n"), 0o644); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// Nobody listens on port 1, and a proxy is not asked, for there is no environment.
	cmd := exec.CommandContext(ctx, path, "info", "-http-addr=http://"+name+":1")
	cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir}
	said, _ := cmd.CombinedOutput()
	if !strings.Contains(string(said), "127.0.0.1:1") {
		return fmt.Errorf("it does not read the file hosts of its working directory: %s", said)
	}
	return nil
}
