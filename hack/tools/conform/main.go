// conform checks that every object of the given YAML files is one that a Kubernetes API server knows, field by field.
//
//	conform -openapi swagger.json [-crd crd.yaml]... FILE...
//
// The schemas are Kubernetes' own OpenAPI document and the definitions of custom resources; a field that they do not name is an error, as
// is a missing or a wrongly typed one, a kind that this version no longer serves, and a key that stands twice. What only the API server's
// code checks, such as the syntax of names and expressions, is left to the tests on a cluster.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// The one document that all schemas are put into, by its address within the compiler.
const document = "schemas.json"

// gvk is what an object says it is: its apiVersion and kind.
type gvk struct{ apiVersion, kind string }

// schemas are the definitions by name, and which of them an object has to follow.
type schemas struct {
	definitions map[string]any
	names       map[gvk]string
}

func main() {
	openapi := flag.String("openapi", "", "Kubernetes' OpenAPI document (api/openapi-spec/swagger.json)")
	var crds []string
	flag.Func("crd", "YAML `file` of a CustomResourceDefinition; may be repeated", func(file string) error {
		crds = append(crds, file)
		return nil
	})
	flag.Parse()
	count, err := run(*openapi, crds, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%d objects conform\n", count)
}

func run(openapi string, crds, files []string) (int, error) {
	known, err := readOpenAPI(openapi)
	if err != nil {
		return 0, err
	}
	for _, file := range crds {
		if err := known.addCRD(file); err != nil {
			return 0, err
		}
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft4)
	if err := compiler.AddResource(document, map[string]any{"definitions": known.definitions}); err != nil {
		return 0, err
	}
	count, wrong := 0, []error{}
	for _, file := range files {
		objects, err := readObjects(file)
		if err != nil {
			return 0, err
		}
		for _, object := range objects {
			if err := known.check(compiler, object); err != nil {
				wrong = append(wrong, fmt.Errorf("%s: %w", file, err))
			}
			count++
		}
	}
	if count == 0 {
		wrong = append(wrong, errors.New("no object to check"))
	}
	return count, errors.Join(wrong...)
}

func readOpenAPI(file string) (*schemas, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	spec, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	root, _ := spec.(map[string]any)
	definitions, _ := root["definitions"].(map[string]any)
	known := &schemas{definitions: definitions, names: map[gvk]string{}}
	for name, definition := range definitions {
		schema, _ := definition.(map[string]any)
		kinds, _ := schema["x-kubernetes-group-version-kind"].([]any)
		for _, kind := range kinds {
			known.names[gvkOf(kind)] = name
		}
		definitions[name] = strict(schema)
	}
	// These two are written as text or as a number.
	definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = map[string]any{"type": []any{"string", "integer"}}
	definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = map[string]any{"type": []any{"string", "number"}}
	return known, nil
}

func gvkOf(kind any) gvk {
	entry, _ := kind.(map[string]any)
	group, _ := entry["group"].(string)
	version, _ := entry["version"].(string)
	name, _ := entry["kind"].(string)
	if group != "" {
		version = group + "/" + version
	}
	return gvk{version, name}
}

// addCRD takes the schemas of all versions that a CustomResourceDefinition serves.
func (s *schemas) addCRD(file string) error {
	objects, err := readObjects(file)
	if err != nil {
		return err
	}
	for _, object := range objects {
		spec, _ := object["spec"].(map[string]any)
		names, _ := spec["names"].(map[string]any)
		versions, _ := spec["versions"].([]any)
		for _, entry := range versions {
			version, _ := entry.(map[string]any)
			validation, _ := version["schema"].(map[string]any)
			schema, _ := validation["openAPIV3Schema"].(map[string]any)
			if schema == nil || version["served"] != true {
				continue
			}
			properties, _ := schema["properties"].(map[string]any)
			properties["metadata"] = map[string]any{"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
			what := gvk{fmt.Sprintf("%v/%v", spec["group"], version["name"]), fmt.Sprint(names["kind"])}
			name := what.apiVersion + "." + what.kind
			// A name with a slash would have to be escaped in references.
			name = strings.ReplaceAll(name, "/", ".")
			s.definitions[name], s.names[what] = strict(schema), name
		}
	}
	return nil
}

// strict is the schema in which an object has no fields but those named.
func strict(schema map[string]any) map[string]any {
	result := map[string]any{}
	for key, value := range schema {
		switch {
		case key == "properties" || key == "definitions":
			result[key] = strictEach(value)
		case key == "items" || key == "additionalProperties":
			result[key] = strictIfSchema(value)
		// Descriptions are long, and formats are Go's.
		case key == "description" || key == "format" || key == "default" || strings.HasPrefix(key, "x-kubernetes-"):
		default:
			result[key] = value
		}
	}
	_, named := schema["properties"]
	_, others := schema["additionalProperties"]
	if named && !others && schema["x-kubernetes-preserve-unknown-fields"] != true {
		result["additionalProperties"] = false
	}
	if schema["x-kubernetes-int-or-string"] == true {
		return map[string]any{"type": []any{"string", "integer"}}
	}
	return result
}

func strictEach(value any) any {
	entries, _ := value.(map[string]any)
	result := map[string]any{}
	for name, entry := range entries {
		result[name] = strictIfSchema(entry)
	}
	return result
}

func strictIfSchema(value any) any {
	if schema, ok := value.(map[string]any); ok {
		return strict(schema)
	}
	return value
}

func (s *schemas) check(compiler *jsonschema.Compiler, object map[string]any) error {
	what := gvk{fmt.Sprint(object["apiVersion"]), fmt.Sprint(object["kind"])}
	metadata, _ := object["metadata"].(map[string]any)
	title := fmt.Sprintf("%s %s %v", what.apiVersion, what.kind, metadata["name"])
	name, ok := s.names[what]
	if !ok {
		return fmt.Errorf("%s: no such kind; near it: %s", title, strings.Join(s.versionsOf(what.kind), ", "))
	}
	schema, err := compiler.Compile(document + "#/definitions/" + name)
	if err != nil {
		return err
	}
	if err := schema.Validate(object); err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	return nil
}

func (s *schemas) versionsOf(kind string) []string {
	var versions []string
	for what := range s.names {
		if what.kind == kind {
			versions = append(versions, what.apiVersion)
		}
	}
	sort.Strings(versions)
	return versions
}

// readObjects reads all documents of a YAML file, with numbers as JSON has them. A key that stands twice is an error of the parser.
func readObjects(file string) ([]map[string]any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var objects []map[string]any
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var parsed any
		if err := decoder.Decode(&parsed); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if parsed == nil {
			continue
		}
		encoded, err := json.Marshal(parsed)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		object, ok := value.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s: a document is no object", file)
		}
		objects = append(objects, object)
	}
}
