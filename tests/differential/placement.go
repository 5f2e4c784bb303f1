package main

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	corev1 "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

type placementQuestion struct {
	Pod  v1.Pod  `json:"pod"`
	Node v1.Node `json:"node"`
}

type placementAnswer struct {
	Candidate bool `json:"candidate"`
	// Every rule that failed.
	Why []string `json:"why,omitempty"`
}

// Taints of passing states: whether a pod tolerates them does not tell where it belongs.
var passing = []string{
	v1.TaintNodeNotReady,
	v1.TaintNodeUnreachable,
	v1.TaintNodeUnschedulable,
	v1.TaintNodeMemoryPressure,
	v1.TaintNodeDiskPressure,
	v1.TaintNodePIDPressure,
	v1.TaintNodeNetworkUnavailable,
	"node.cloudprovider.kubernetes.io/uninitialized",
}

// answerPlacement applies the scheduler's rules to a pod that is not bound, and its kubelet's to one that is.
func answerPlacement(question placementQuestion) (placementAnswer, error) {
	pod, node := &question.Pod, &question.Node
	bound := pod.Spec.NodeName != ""
	why := []string{}
	if bound && pod.Spec.NodeName != node.Name {
		why = append(why, "nodeName")
	}
	matches, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node)
	if err != nil || !matches {
		why = append(why, "affinity")
	}
	if hasUntoleratedTaint(pod, node, bound) {
		why = append(why, "taint")
	}
	return placementAnswer{Candidate: len(why) == 0, Why: why}, nil
}

func hasUntoleratedTaint(pod *v1.Pod, node *v1.Node, bound bool) bool {
	lasting := slices.DeleteFunc(slices.Clone(node.Spec.Taints), func(taint v1.Taint) bool {
		return slices.Contains(passing, taint.Key)
	})
	repels := func(taint *v1.Taint) bool {
		return taint.Effect == v1.TaintEffectNoExecute || (taint.Effect == v1.TaintEffectNoSchedule && !bound)
	}
	// The API server refuses pods that compare numbers unless the gate for it is on.
	comparesNumbers := true
	_, untolerated := corev1.FindMatchingUntoleratedTaint(
		klog.Logger{}, lasting, pod.Spec.Tolerations, repels, comparesNumbers)
	return untolerated
}
