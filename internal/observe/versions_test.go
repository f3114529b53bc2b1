package observe

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestWhichVersionsReadAllLogs(t *testing.T) {
	g := NewWithT(t)
	for reported, onlyOld := range map[string]bool{
		"1.19.2": true, "1.20.1": true, "1.20.1+ent": true,
		"1.20.0-dev": true, "1.20.0dev": true,
		"1.20.2": false, "1.22.7+ent": false, "2.0.0": false, "": false, "unknown": false,
	} {
		g.Expect(readsOnlyOldLogs(reported)).To(Equal(onlyOld), reported)
	}
}
