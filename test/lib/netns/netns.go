// Package netns runs a program of ours in a network namespace of its own, without root. There it is alone with the loopback
// interface, and gives itself the addresses that it needs, IPv6 ones among them.
package netns

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/consul-operator/consul-operator/test/lib/await"
)

// variable tells a program that it runs in a network namespace of its own.
const variable = "CONSUL_OPERATOR_OWN_NETWORK"

// Inside reports whether this program was started by a command that was isolated.
func Inside() bool { return os.Getenv(variable) != "" }

// Isolate makes a command start in a network namespace of its own. Whoever is not root on this machine needs a user namespace to
// be allowed to, and some machines do not allow it.
func Isolate(cmd *exec.Cmd) {
	root := func(id int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
	}
	cmd.Env = append(cmd.Environ(), variable+"=true")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: root(os.Getuid()), GidMappings: root(os.Getgid()),
	}
}

// Up turns the loopback interface on, which is off in a new network namespace.
func Up() error {
	index, err := loopback()
	if err != nil {
		return err
	}
	link := unix.IfInfomsg{Family: unix.AF_UNSPEC, Index: int32(index), Flags: unix.IFF_UP, Change: unix.IFF_UP}
	if err := request(unix.RTM_NEWLINK, 0, encode(link)); err != nil {
		return fmt.Errorf("turning the loopback interface on: %w", err)
	}
	return nil
}

// Add gives the loopback interface an address.
func Add(address netip.Addr) error {
	index, err := loopback()
	if err != nil {
		return err
	}
	family := uint8(unix.AF_INET)
	if address.Is6() {
		family = unix.AF_INET6
	}
	body := encode(unix.IfAddrmsg{
		Family: family, Prefixlen: uint8(address.BitLen()), Index: uint32(index),
		Scope: unix.RT_SCOPE_HOST, Flags: unix.IFA_F_NODAD, // usable at once
	})
	for _, kind := range []uint16{unix.IFA_LOCAL, unix.IFA_ADDRESS} {
		body = append(body, encode(unix.RtAttr{Len: uint16(unix.SizeofRtAttr + address.BitLen()/8), Type: kind})...)
		body = append(body, address.AsSlice()...)
	}
	if err := request(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body); err != nil {
		return fmt.Errorf("adding the address %s: %w", address, err)
	}
	return awaitRoute(address)
}

// awaitRoute waits until an address is reached. The kernel adds the route to an IPv6 address a moment after the address itself,
// and a connection that is begun in between is lost.
func awaitRoute(address netip.Addr) error {
	listener, err := net.Listen("tcp", netip.AddrPortFrom(address, 0).String())
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return await.Success(ctx, time.Millisecond, func() error {
		connection, err := net.DialTimeout("tcp", listener.Addr().String(), 20*time.Millisecond)
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

func loopback() (int, error) {
	if !Inside() {
		return 0, fmt.Errorf("this program runs in the network of the machine, whose addresses are not its own to change")
	}
	link, err := net.InterfaceByName("lo")
	if err != nil {
		return 0, err
	}
	return link.Index, nil
}

// encode lays out one of the kernel's structures of numbers.
func encode(structure any) []byte {
	encoded, err := binary.Append(nil, binary.NativeEndian, structure)
	if err != nil { // impossible: they have a fixed size
		panic(err)
	}
	return encoded
}

// request sends one request to the kernel (rtnetlink(7)), and returns its answer.
func request(kind, flags uint16, body []byte) error {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(socket) }()
	header := encode(unix.NlMsghdr{
		Len: uint32(unix.SizeofNlMsghdr + len(body)), Type: kind, Flags: flags | unix.NLM_F_REQUEST | unix.NLM_F_ACK,
	})
	if err := unix.Sendto(socket, append(header, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, os.Getpagesize())
	n, _, err := unix.Recvfrom(socket, answer, 0)
	if err != nil {
		return err
	}
	messages, err := syscall.ParseNetlinkMessage(answer[:n])
	if err != nil {
		return err
	}
	for _, message := range messages {
		if message.Header.Type != unix.NLMSG_ERROR {
			continue
		}
		if number := int32(binary.NativeEndian.Uint32(message.Data)); number != 0 { // 0 acknowledges
			return syscall.Errno(-number)
		}
	}
	return nil
}
