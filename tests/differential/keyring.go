package main

import (
	"encoding/json"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
)

type keyringQuestion struct {
	// Contents of the pod's pull secrets of type kubernetes.io/dockerconfigjson, in their order.
	Secrets []json.RawMessage `json:"secrets"`
	// The node's own docker config, that comes after the pod's secrets.
	Node json.RawMessage `json:"node"`
	// Registry and repository.
	Image string `json:"image"`
}

type keyringAnswer struct {
	// The credentials in the order in which they are tried: user name and password.
	Logins [][2]string `json:"logins"`
	Error  string      `json:"error,omitempty"`
}

// answerKeyring says which credentials the kubelet tries for an image.
func answerKeyring(question keyringQuestion) (keyringAnswer, error) {
	node := &credentialprovider.BasicDockerKeyring{}
	if len(question.Node) > 0 {
		config := credentialprovider.DockerConfigJSON{}
		if err := json.Unmarshal(question.Node, &config); err != nil {
			return keyringAnswer{Logins: [][2]string{}, Error: err.Error()}, nil
		}
		node.Add(nil, config.Auths)
	}
	pulled := []v1.Secret{}
	for _, text := range question.Secrets {
		pulled = append(pulled, v1.Secret{
			Type: v1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{v1.DockerConfigJsonKey: text},
		})
	}
	keyring, err := secrets.MakeDockerKeyring(pulled, node)
	if err != nil {
		return keyringAnswer{Logins: [][2]string{}, Error: err.Error()}, nil
	}
	answer := keyringAnswer{Logins: [][2]string{}}
	found, _ := keyring.Lookup(question.Image)
	for _, login := range found {
		answer.Logins = append(answer.Logins, [2]string{login.Username, login.Password})
	}
	return answer, nil
}
