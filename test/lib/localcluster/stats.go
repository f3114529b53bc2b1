package localcluster

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"path/filepath"

	"k8s.io/apimachinery/pkg/labels"
)

// The answer of a kubelet to GET /stats/summary, as far as it is about volume claims
// (https://pkg.go.dev/k8s.io/kubelet/pkg/apis/stats/v1alpha1#Summary).
type (
	summary struct {
		Pods []podStats `json:"pods"`
	}
	podStats struct {
		Volumes []volumeStats `json:"volume"`
	}
	volumeStats struct {
		UsedBytes     int64    `json:"usedBytes"`
		CapacityBytes int64    `json:"capacityBytes"`
		Claim         claimRef `json:"pvcRef"`
	}
	claimRef struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	}
)

// handleStats tells how full the volumes of all claims are, on whatever node: what is in their folders, of what they are said to
// hold. Nothing keeps a server from writing more.
func (k *kubelet) handleStats(w http.ResponseWriter, _ *http.Request) {
	claims, err := k.claims.List(labels.Everything())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	said := podStats{Volumes: []volumeStats{}}
	for _, claim := range claims {
		path, err := k.claimPath(claim.Namespace, claim.Name)
		if err != nil {
			continue // it has no volume yet
		}
		said.Volumes = append(said.Volumes, volumeStats{
			UsedBytes: usage(path), CapacityBytes: claim.Status.Capacity.Storage().Value(),
			Claim: claimRef{claim.Name, claim.Namespace},
		})
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(summary{Pods: []podStats{said}}) // the caller may be gone
}

// usage is the size of all files in a folder, in bytes. Files come and go meanwhile.
func usage(folder string) (bytes int64) {
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it is gone
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}
