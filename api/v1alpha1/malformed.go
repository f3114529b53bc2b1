package v1alpha1

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/json"
)

// maxMalformed limits how much of a user's input is repeated in a message.
const maxMalformed = 300

// UnmarshalJSON never fails. The API server accepts values that Go types do not: what a pod template may hold is only checked
// when a pod is created. An object that cannot be decoded would break the list and the watch of all ConsulClusters, and so
// stop the operator for everybody. What does not fit its type is left out and named in Malformed.
func (s *ConsulClusterSpec) UnmarshalJSON(data []byte) error {
	type plain ConsulClusterSpec
	decoded := plain{}
	if malformed := decode(data, reflect.ValueOf(&decoded).Elem(), "spec"); malformed != "" {
		decoded.Malformed, decoded.Raw = shorten(malformed), bytes.Clone(data)
	}
	*s = ConsulClusterSpec(decoded)
	return nil
}

// MarshalJSON returns a malformed spec as the user wrote it, so that nothing is lost when the object is written.
func (s ConsulClusterSpec) MarshalJSON() ([]byte, error) {
	if s.Malformed != "" {
		return s.Raw, nil
	}
	type plain ConsulClusterSpec
	return json.Marshal(plain(s))
}

// UnmarshalJSON never fails, as that of the spec. What does not fit its type is left out: the operator writes it anew.
func (s *ConsulClusterStatus) UnmarshalJSON(data []byte) error {
	type plain ConsulClusterStatus
	decoded := plain{}
	decode(data, reflect.ValueOf(&decoded).Elem(), "status")
	*s = ConsulClusterStatus(decoded)
	return nil
}

// decode decodes as much of data as fits, and returns the path of the first value that does not fit with what is wrong with
// it; empty if all fits.
func decode(data []byte, into reflect.Value, path string) string {
	whole := reflect.New(into.Type())
	err := json.Unmarshal(data, whole.Interface())
	if err == nil {
		into.Set(whole.Elem())
		return ""
	}
	if _, opaque := whole.Interface().(stdjson.Unmarshaler); !opaque {
		switch into.Kind() {
		case reflect.Pointer:
			return decodePointer(data, into, path)
		case reflect.Struct:
			fields := map[string]stdjson.RawMessage{}
			if json.Unmarshal(data, &fields) == nil {
				return decodeStruct(data, fields, into, path)
			}
		case reflect.Slice:
			var elements []stdjson.RawMessage
			if json.Unmarshal(data, &elements) == nil {
				return decodeSlice(elements, into, path)
			}
		case reflect.Map:
			values := map[string]stdjson.RawMessage{}
			if json.Unmarshal(data, &values) == nil {
				return decodeMap(values, into, path)
			}
		}
	}
	return path + ": " + describe(err)
}

// decodePointer leaves a pointer nil if nothing of its value fits: nil stands for the default, and zero may not.
func decodePointer(data []byte, into reflect.Value, path string) string {
	target := reflect.New(into.Type().Elem())
	malformed := decode(data, target.Elem(), path)
	if !target.Elem().IsZero() {
		into.Set(target)
	}
	return malformed
}

func decodeStruct(data []byte, values map[string]stdjson.RawMessage, into reflect.Value, path string) (first string) {
	for i := range into.NumField() {
		field := into.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		malformed := ""
		if value, there := values[name]; field.Anonymous && name == "" {
			malformed = decode(data, into.Field(i), path)
		} else if there && name != "-" {
			malformed = decode(value, into.Field(i), path+"."+name)
		}
		first = firstOf(first, malformed)
	}
	return first
}

func decodeSlice(elements []stdjson.RawMessage, into reflect.Value, path string) (first string) {
	into.Set(reflect.MakeSlice(into.Type(), len(elements), len(elements)))
	for i, element := range elements {
		first = firstOf(first, decode(element, into.Index(i), fmt.Sprintf("%s[%d]", path, i)))
	}
	return first
}

func decodeMap(values map[string]stdjson.RawMessage, into reflect.Value, path string) (first string) {
	into.Set(reflect.MakeMap(into.Type()))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		value := reflect.New(into.Type().Elem()).Elem()
		malformed := decode(values[key], value, path+"."+key)
		if malformed == "" {
			into.SetMapIndex(reflect.ValueOf(key).Convert(into.Type().Key()), value)
		}
		first = firstOf(first, malformed)
	}
	return first
}

func firstOf(first, next string) string {
	if first == "" {
		return next
	}
	return first
}

// describe says what is wrong with a value in the words of its user.
func describe(err error) string {
	var kind *stdjson.UnmarshalTypeError
	if !errors.As(err, &kind) {
		return err.Error()
	}
	expected := kind.Type.String()
	switch kind.Type.Kind() {
	case reflect.Struct, reflect.Map:
		expected = "object"
	case reflect.Slice:
		expected = "list"
	}
	return fmt.Sprintf("must be of type %s, not %s", expected, kind.Value)
}

func shorten(message string) string {
	if len(message) <= maxMalformed {
		return message
	}
	return strings.ToValidUTF8(message[:maxMalformed], "") + "…"
}
