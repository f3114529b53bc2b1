package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
)

// metrics are what a program says of itself, by name.
type metrics map[string]*dto.MetricFamily

func parseMetrics(text []byte) (metrics, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(bytes.NewReader(text))
}

// labels of a metric.
type labels map[string]string

func (m metrics) each(name string, do func(labels, *dto.Metric)) {
	for _, metric := range m[name].GetMetric() {
		of := labels{}
		for _, pair := range metric.GetLabel() {
			of[pair.GetName()] = pair.GetValue()
		}
		do(of, metric)
	}
}

// sum of the counters and gauges of a name.
func (m metrics) sum(name string, counts func(labels) bool) (sum float64) {
	m.each(name, func(of labels, metric *dto.Metric) {
		if counts(of) {
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	})
	return sum
}

func anyLabels(labels) bool { return true }

// histogram is how many observations are at or below each bound, which are in ascending order.
type histogram struct {
	bounds []float64
	counts []uint64
}

func (m metrics) histogram(name string) (h histogram) {
	m.each(name, func(_ labels, metric *dto.Metric) {
		for i, bucket := range metric.GetHistogram().GetBucket() {
			if i == len(h.bounds) {
				h.bounds, h.counts = append(h.bounds, bucket.GetUpperBound()), append(h.counts, 0)
			}
			h.counts[i] += bucket.GetCumulativeCount()
		}
	})
	return h
}

// since takes away what was observed before.
func (h histogram) since(before histogram) histogram {
	out := histogram{bounds: h.bounds, counts: append([]uint64(nil), h.counts...)}
	for i := range before.counts {
		out.counts[i] -= before.counts[i]
	}
	return out
}

func (h histogram) count() uint64 {
	if len(h.counts) == 0 {
		return 0
	}
	return h.counts[len(h.counts)-1]
}

// atMost is the upper bound of the bucket with this quantile: it is certainly no more.
func (h histogram) atMost(quantile float64) time.Duration {
	for i, count := range h.counts {
		if float64(count) >= quantile*float64(h.count()) {
			return time.Duration(h.bounds[i] * float64(time.Second))
		}
	}
	return 0
}

// operatorMetrics are the operator's own.
func (b *bench) operatorMetrics(ctx context.Context) (metrics, error) {
	text, err := get(ctx, "http://"+b.metricsAddress+"/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(text)
}

func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}

// isWrite reports whether a request of the API server changes something. Leases are its own, and never stand still.
func isWrite(of labels) bool {
	switch of["verb"] {
	case "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION":
		return of["resource"] != "leases"
	}
	return false
}

// answered are the requests that the API server has answered.
const answered = "apiserver_request_total"

// writes are what the API server was asked to change, and how often.
func (m metrics) writes() map[string]int {
	found := map[string]int{}
	m.each(answered, func(of labels, metric *dto.Metric) {
		if isWrite(of) {
			what := strings.TrimSuffix(of["verb"]+" "+of["resource"]+"/"+of["subresource"], "/")
			found[what] += int(metric.GetCounter().GetValue())
		}
	})
	return found
}

// process is what the kernel says of a process.
type process struct {
	rss, peak int // in bytes
	cpu       time.Duration
}

func readProcess(pid int) (process, error) {
	of, err := procfs.NewProc(pid)
	if err != nil {
		return process{}, err
	}
	status, err := of.NewStatus()
	if err != nil {
		return process{}, err
	}
	stat, err := of.Stat()
	return process{
		rss: int(status.VmRSS), peak: int(status.VmHWM), //nolint:gosec // below 2^63
		cpu: time.Duration(stat.CPUTime() * float64(time.Second)),
	}, err
}
