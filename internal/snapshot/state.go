package snapshot

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// recordNames are the kinds of records in the state, by the byte that precedes each (MessageType in Consul's
// agent/structs/structs.go, 1.22.7), as `consul snapshot inspect` prints them. Kinds are only ever added.
var recordNames = map[byte]string{
	0: recordRegister, 1: "Deregister", 2: recordKVS, 3: "Session", 4: "ACL", 5: "Tombstone", 6: "CoordinateBatchUpdate",
	7: "PreparedQuery", 8: "Txn", 9: "Autopilot", 10: "Area", 11: "ACLBootstrap", 12: "Intention", 13: "ConnectCA",
	14: "ConnectCAProviderState", 15: "ConnectCAConfig", 16: "Index", 17: "ACLToken", 18: "ACLTokenDelete", 19: "ACLPolicy",
	20: "ACLPolicyDelete", 21: "ConnectCALeaf", 22: "ConfigEntry", 23: "ACLRole", 24: "ACLRoleDelete", 25: "ACLBindingRule",
	26: "ACLBindingRuleDelete", 27: "ACLAuthMethod", 28: "ACLAuthMethodDelete", 29: "ChunkingState", 30: "FederationState",
	31: "SystemMetadata", 32: "ServiceVirtualIP", 33: "FreeVirtualIP", 34: "KindServiceName", 35: "Peering", 36: "PeeringDelete",
	38: "PeeringTrustBundle", 39: "PeeringTrustBundleDelete", 40: "PeeringSecret", 41: "RaftLogVerifierCheckpoint",
	42: "Resource", 43: "UpdateManualVirtualIPRequestType", 44: "Census",
}

// recordRegister is a node, with one of its services or checks, and recordKVS a key.
const (
	recordRegister = "Register"
	recordKVS      = "KVS"
)

// registration is what is read of a node. Records of other kinds are checked to be whole.
type registration struct {
	Node, ID, Datacenter, PeerName string
	Service                        *struct {
		Service string
		Meta    map[string]string
	}
}

// readState reads the state of a cluster: a header, then records, each a byte for its kind and a value.
func readState(from io.Reader) (*Contents, error) {
	buffered := bufio.NewReader(from) // the decoder takes no more from it than a value
	decoder := codec.NewDecoder(buffered, &codec.MsgpackHandle{})
	var header struct{ LastIndex uint64 }
	if err := decoder.Decode(&header); err != nil {
		return nil, fmt.Errorf("reading its header: %w", err)
	}
	contents := &Contents{Records: map[string]int{}}
	for {
		kind, err := buffered.ReadByte()
		if errors.Is(err, io.EOF) {
			return contents, nil
		}
		if err != nil {
			return nil, err
		}
		name := recordNames[kind]
		if name == "" {
			name = fmt.Sprintf("Unknown(%d)", kind)
		}
		if err := contents.add(name, decoder); err != nil {
			return nil, fmt.Errorf("reading a record of kind %s: %w", name, err)
		}
	}
}

func (c *Contents) add(name string, decoder *codec.Decoder) error {
	c.Records[name]++
	switch name {
	case recordRegister:
	case recordKVS:
		var key struct{ Session string }
		err := decoder.Decode(&key)
		if key.Session != "" {
			c.LockedKeys++
		}
		return err
	default:
		return decoder.Decode(new(codec.Raw))
	}
	var node registration
	if err := decoder.Decode(&node); err != nil {
		return err
	}
	// A cluster that this one is peered with has servers of its own.
	if node.PeerName == "" && node.Service != nil && node.Service.Service == "consul" {
		c.Servers = append(c.Servers, Server{Name: node.Node, ID: node.ID, Version: node.Service.Meta["version"]})
		c.Datacenter = node.Datacenter
	}
	return nil
}
