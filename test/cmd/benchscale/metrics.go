package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
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

// ticks is USER_HZ, the same on all Linux machines.
const ticks = 100

func readProcess(pid int) (p process, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status")) //nolint:gosec // of /proc
	if err != nil {
		return p, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "VmRSS":
			p.rss, err = kilobytes(value)
		case "VmHWM":
			p.peak, err = kilobytes(value)
		}
		if err != nil {
			return p, err
		}
	}
	stat, err := os.ReadFile(filepath.Join(dir, "stat")) //nolint:gosec // of /proc
	if err != nil {
		return p, err
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return p, fmt.Errorf("%s/stat is too short", dir)
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return p, err
	}
	system, err := strconv.Atoi(fields[12])
	p.cpu = time.Duration(user+system) * time.Second / ticks
	return p, err
}

func kilobytes(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), " kB"))
	return n << 10, err
}
