package main

import (
	"encoding/json"

	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
)

type keyringQuestion struct {
	// The pod's pull secrets, in their order.
	Secrets []pullSecret `json:"secrets"`
	// The node's own docker config, which comes after the pod's secrets.
	Node string `json:"node"`
	// Registry and repository.
	Image string `json:"image"`
}

type pullSecret struct {
	Content string `json:"content"`
	// Whether it is of the older type kubernetes.io/dockercfg.
	Dockercfg bool `json:"dockercfg"`
}

type keyringAnswer struct {
	// The credentials in the order in which they are tried: user name and password.
	Logins [][2]string `json:"logins"`
	Error  string      `json:"error,omitempty"`
}

// answerKeyring says which credentials the kubelet tries for an image.
func answerKeyring(question keyringQuestion) (keyringAnswer, error) {
	answer := keyringAnswer{Logins: [][2]string{}}
	node := &credentialprovider.BasicDockerKeyring{}
	if question.Node != "" {
		config := credentialprovider.DockerConfigJSON{}
		if err := json.Unmarshal([]byte(question.Node), &config); err != nil {
			answer.Error = err.Error()
			return answer, nil
		}
		node.Add(nil, config.Auths)
	}
	pulled := []v1.Secret{}
	for _, secret := range question.Secrets {
		pulled = append(pulled, secret.object())
	}
	keyring, err := secrets.MakeDockerKeyring(pulled, node)
	if err != nil {
		answer.Error = err.Error()
		return answer, nil
	}
	found, _ := keyring.Lookup(question.Image)
	for _, login := range found {
		answer.Logins = append(answer.Logins, [2]string{login.Username, login.Password})
	}
	return answer, nil
}

func (s pullSecret) object() v1.Secret {
	kind, key := v1.SecretTypeDockerConfigJson, v1.DockerConfigJsonKey
	if s.Dockercfg {
		kind, key = v1.SecretTypeDockercfg, v1.DockerConfigKey
	}
	return v1.Secret{Type: kind, Data: map[string][]byte{key: []byte(s.Content)}}
}
