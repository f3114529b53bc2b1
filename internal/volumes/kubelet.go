// Package volumes learns from the kubelets how full the volumes of servers are: neither Consul nor the API server says so.
//
// It asks each node that runs servers once a minute, and no reconcile waits for that. What it has learned is in memory. A new
// operator asks first, and until then it is not known.
package volumes

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Usage is how full a volume is, in bytes.
type Usage struct{ Used, Capacity int64 }

const (
	// answerWithin is how long a kubelet may take, and mostAnswer how many bytes its answer may have: some hundreds of pods.
	answerWithin = 10 * time.Second
	mostAnswer   = 16 << 20
	// kubeletPort is where a kubelet listens that does not say it.
	kubeletPort = 10250
)

// KubeletClient is for requests to kubelets, with the credentials that the operator has for the API server. A kubelet is believed
// if the authority of the API server, or those in the file of that name, have issued its certificate.
func KubeletClient(server *rest.Config, authorities string) (*http.Client, error) {
	config := rest.CopyConfig(server)
	config.Timeout = answerWithin
	config.ServerName = ""
	if authorities != "" {
		config.CAFile, config.CAData = authorities, nil
	}
	kubelets, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("a client for kubelets: %w", err)
	}
	return kubelets, nil
}

// summary is what is read of a kubelet's answer
// (https://kubernetes.io/docs/reference/instrumentation/node-metrics/#summary-api-source).
type summary struct {
	Pods []struct {
		Volumes []struct {
			Claim *struct{ Name, Namespace string } `json:"pvcRef"`
			Used  *int64                            `json:"usedBytes"`
			Size  *int64                            `json:"capacityBytes"`
		} `json:"volume"`
	}
}

// read asks the kubelet of a node for the usage of the volumes there, by their claims. Those are left out of which it tells
// nothing, as of some types.
func read(ctx context.Context, kubelets *http.Client, node *corev1.Node) (map[client.ObjectKey]Usage, error) {
	address, err := addressOf(node)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/stats/summary", nil)
	if err != nil {
		return nil, err
	}
	request.Close = true // the next request is a minute away
	response, err := kubelets.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s (the operator needs the permission to get nodes/stats)", response.Status)
	}
	var said summary
	if err := json.NewDecoder(io.LimitReader(response.Body, mostAnswer)).Decode(&said); err != nil {
		return nil, fmt.Errorf("its answer cannot be read: %w", err)
	}
	return said.usages(), nil
}

func (s summary) usages() map[client.ObjectKey]Usage {
	usages := map[client.ObjectKey]Usage{}
	for _, pod := range s.Pods {
		for _, volume := range pod.Volumes {
			if volume.Claim != nil && volume.Used != nil && volume.Size != nil && *volume.Size > 0 {
				key := client.ObjectKey{Namespace: volume.Claim.Namespace, Name: volume.Claim.Name}
				usages[key] = Usage{Used: *volume.Used, Capacity: *volume.Size}
			}
		}
	}
	return usages
}

// addressOf is where the kubelet of a node listens.
func addressOf(node *corev1.Node) (string, error) {
	port := node.Status.DaemonEndpoints.KubeletEndpoint.Port
	if port == 0 {
		port = kubeletPort
	}
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeInternalDNS, corev1.NodeHostName} {
		for _, address := range node.Status.Addresses {
			if address.Type == kind {
				return net.JoinHostPort(address.Address, strconv.Itoa(int(port))), nil
			}
		}
	}
	return "", fmt.Errorf("node %s has no address", node.Name)
}
