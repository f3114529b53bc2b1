package resources

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// ContainerRecover is the name of the init container that prepares a server for a recovery.
const ContainerRecover = "recover"

// EnvVoter is the environment variable of that container with the node ID of the only voter; empty on all other servers.
const EnvVoter = "VOTER"

// Recovery is the recovery of a lost quorum, as recorded in an annotation of the ConsulCluster.
type Recovery struct {
	// ID is unique to this recovery, and can be the name of a folder.
	ID string `json:"id"`
	// Survivor carries on as the only voter.
	Survivor string `json:"survivor"`
	// Lost are the servers that are given up.
	Lost []string `json:"lost"`
}

// RecoveryOf returns the recovery that is under way, nil if there is none, and an error if its record is damaged.
func RecoveryOf(c *v1alpha1.ConsulCluster) (*Recovery, error) {
	text, recorded := c.Annotations[v1alpha1.AnnotationRecovery]
	if !recorded {
		return nil, nil
	}
	var r Recovery
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil, err
	}
	if r.ID == "" || r.Survivor == "" {
		return nil, errors.New("id or survivor is missing")
	}
	return &r, nil
}

// String returns the value of the annotation.
func (r Recovery) String() string {
	text, err := json.Marshal(r)
	if err != nil { // impossible: it holds only strings
		return err.Error()
	}
	return string(text)
}

// recoverScript saves the Raft data, then tells Consul to forget all other voters. It does so only once: an init container may
// run again at any time, and by then there are voters that must not be forgotten. If the script did not finish, Consul has not
// started since, so everything can be repeated. Consul reads peers.json only if peers.info exists, and deletes it afterwards.
const recoverScript = `cd /consul/data
saved=recovery/$RECOVERY
if [ -e "$saved/done" ] || [ ! -e raft ]; then exit 0; fi
rm -rf "$saved"
mkdir -p "$saved"
cp -a raft "$saved/raft"
echo "saved: $saved/raft"
if [ -n "$VOTER" ]; then
  if [ ! -e raft/peers.info ]; then echo "raft/peers.info is missing: Consul would not read raft/peers.json"; exit 1; fi
  case $POD_IP in *:*) host="[$POD_IP]" ;; *) host=$POD_IP ;; esac
  printf '[{"id": "%s", "address": "%s", "non_voter": false}]' "$VOTER" "$host:$PORT" >raft/peers.json.new
  sync
  mv raft/peers.json.new raft/peers.json
  echo "written: raft/peers.json, this server carries on as the only voter"
fi
sync
touch "$saved/done"
sync
`

// prepareRecovery makes a server save its data before it starts, and makes the survivor start as the only voter.
func prepareRecovery(pod *corev1.Pod, c *v1alpha1.ConsulCluster, server Server, consul corev1.Container) {
	voter := ""
	if server.Name == server.Recovery.Survivor {
		voter = NodeID(Identity(c), server.Name)
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[v1alpha1.AnnotationRecovery] = server.Recovery.ID
	prepare := initContainer(ContainerRecover, recoverScript, consul)
	prepare.Env = []corev1.EnvVar{
		podIP(),
		{Name: "RECOVERY", Value: server.Recovery.ID},
		{Name: EnvVoter, Value: voter},
		{Name: "PORT", Value: strconv.Itoa(PortServer)},
	}
	pod.Spec.InitContainers = slices.Insert(pod.Spec.InitContainers, 0, prepare)
}

// initContainer returns a container that runs a script on the volume of a server before it starts, with the server's image and
// rights.
func initContainer(name, script string, consul corev1.Container) corev1.Container {
	return corev1.Container{
		Name: name, Image: consul.Image, ImagePullPolicy: consul.ImagePullPolicy,
		Command: []string{"/bin/sh", "-euc", script},
		VolumeMounts: slices.DeleteFunc(slices.Clone(consul.VolumeMounts), func(m corev1.VolumeMount) bool {
			return m.Name != volumeData
		}),
		Resources:                consul.Resources,
		SecurityContext:          consul.SecurityContext,
		TerminationMessagePolicy: consul.TerminationMessagePolicy,
	}
}
