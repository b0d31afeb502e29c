// Package kubernetes_test checks that the manifests fit together and do what
// docs/kubernetes.md says about them.
package kubernetes_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/durablestate/durable"
	"github.com/durablestate/durable/internal/redistest"
)

// object is the part of a Kubernetes object that the tests look at.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Data     map[string]string
	Spec     struct {
		Replicas    int
		ServiceName string `yaml:"serviceName"`
		Strategy    struct{ Type string }
		Template    struct {
			Metadata struct{ Labels map[string]string }
			Spec     pod
		}
		VolumeClaimTemplates []struct {
			Metadata struct{ Name string }
		} `yaml:"volumeClaimTemplates"`
	}
}

type pod struct {
	Grace      int `yaml:"terminationGracePeriodSeconds"`
	Containers []container
	Volumes    []struct {
		Name      string
		ConfigMap struct{ Name string } `yaml:"configMap"`
	}
}

type container struct {
	Name          string
	Command, Args []string
	Env           []struct {
		Name      string
		ValueFrom struct {
			FieldRef struct {
				Path string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
			SecretKeyRef struct{ Name, Key string } `yaml:"secretKeyRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Liveness  *probe `yaml:"livenessProbe"`
	Readiness *probe `yaml:"readinessProbe"`
	Startup   *probe `yaml:"startupProbe"`
	Lifecycle struct {
		PreStop struct {
			Sleep struct{ Seconds int }
		} `yaml:"preStop"`
	}
	Resources struct {
		Limits struct{ Memory string }
	}
	Mounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

// objects reads a manifest.
func objects(t *testing.T, file string) (list []object) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	d := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var o object
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return list
		}
		require.NoError(t, err, file)
		require.NotEmpty(t, o.Kind, file)
		require.NotEmpty(t, o.Metadata.Name, file)
		list = append(list, o)
	}
}

func find(t *testing.T, list []object, kind, name string) object {
	t.Helper()
	i := slices.IndexFunc(list, func(o object) bool { return o.Kind == kind && o.Metadata.Name == name })
	require.GreaterOrEqual(t, i, 0, "there is no %s %s", kind, name)
	return list[i]
}

// A program is a workload and its configuration.
type program struct {
	object
	container
	cfg *durable.Config
}

const podName = "fraud-detection-0"

// load reads the program of a manifest with the environment that its container
// gets.
func load(t *testing.T, file, kind, redisURL string) program {
	t.Helper()
	list := objects(t, file)
	p := program{object: find(t, list, kind, "fraud-detection")}
	p.container = p.Spec.Template.Spec.Containers[0]
	for _, e := range p.Env {
		switch from := e.ValueFrom; {
		case from.FieldRef.Path == "metadata.name":
			t.Setenv(e.Name, podName)
		case from.SecretKeyRef.Name == "redis-credentials" && from.SecretKeyRef.Key == "url":
			t.Setenv(e.Name, redisURL)
		default:
			require.Fail(t, "unknown variable", e.Name)
		}
	}
	text := find(t, list, "ConfigMap", "fraud-detection").Data["config.yaml"]
	var err error
	p.cfg, err = durable.ParseConfig([]byte(text))
	require.NoError(t, err, "%s: embedded state_persistence", file)
	return p
}

// setting returns what follows an argument.
func (p program) setting(t *testing.T, name string) string {
	t.Helper()
	i := slices.Index(p.Args, name)
	require.True(t, i >= 0 && i+1 < len(p.Args), "%s is no argument", name)
	return p.Args[i+1]
}

// mounted returns what lies where file is, and by which path.
func (p program) mounted(t *testing.T, file string) (volume, at string) {
	t.Helper()
	for _, m := range p.Mounts {
		if strings.HasPrefix(file, m.MountPath+"/") && len(m.MountPath) > len(at) {
			volume, at = m.Name, m.MountPath
		}
	}
	require.NotEmpty(t, volume, "nothing is mounted at %s", file)
	return volume, at
}

func eachProgram(t *testing.T, check func(t *testing.T, p program)) {
	for file, kind := range map[string]string{"deployment.yaml": "Deployment", "statefulset.yaml": "StatefulSet"} {
		t.Run(file, func(t *testing.T) { check(t, load(t, file, kind, "redis://:secret@redis:6379/0")) })
	}
}

func TestTheGracePeriodHoldsPreStopDrainingAndClose(t *testing.T) {
	const drain = 10 * time.Second
	eachProgram(t, func(t *testing.T, p program) {
		grace := time.Duration(p.Spec.Template.Spec.Grace) * time.Second
		preStop := time.Duration(p.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		require.Positive(t, preStop)
		require.Positive(t, p.cfg.Options.CloseTimeout, "shutdown_timeout should be seen where the grace period is")
		require.GreaterOrEqual(t, grace, preStop+drain+p.cfg.Options.CloseTimeout)
	})
}

func TestProbesAskWhatTheyShouldAndOnlyWhereProbesAreAnswered(t *testing.T) {
	eachProgram(t, func(t *testing.T, p program) {
		require.Len(t, p.Ports, 1, "/rules must not be reachable")
		require.Equal(t, 8081, p.Ports[0].ContainerPort)
		require.Equal(t, ":8081", p.setting(t, "-probes"))
		require.NotContains(t, p.Args, "-listen", "the other address stays on loopback")
		require.Equal(t, "/healthz", p.Liveness.HTTPGet.Path, "an outage is no reason to restart")
		require.Equal(t, "/readyz", p.Readiness.HTTPGet.Path)
		require.Equal(t, p.Ports[0].Name, p.Liveness.HTTPGet.Port)
		require.Equal(t, p.Ports[0].Name, p.Readiness.HTTPGet.Port)
		require.Nil(t, p.Startup, "waiting for a lease or a store may take for ever")
	})
}

func TestThePodNameHoldsTheLeaseOfOneSystem(t *testing.T) {
	eachProgram(t, func(t *testing.T, p program) {
		o := p.cfg.Options
		require.Equal(t, podName, o.Holder)
		require.Equal(t, "fraud-detection", o.System)
		require.GreaterOrEqual(t, o.LeaseTTL, time.Duration(0), "ownership is what makes an overlap safe")
		require.Equal(t, 1, p.Spec.Replicas)
	})
}

func TestTheConfigurationIsMountedWhereTheProgramReadsIt(t *testing.T) {
	eachProgram(t, func(t *testing.T, p program) {
		file := p.setting(t, "-config")
		volume, at := p.mounted(t, file)
		require.Equal(t, at, path.Dir(file))
		require.Equal(t, "config.yaml", path.Base(file))
		for _, v := range p.Spec.Template.Spec.Volumes {
			if v.Name == volume {
				require.Equal(t, "fraud-detection", v.ConfigMap.Name)
				return
			}
		}
		require.Fail(t, "no such volume", volume)
	})
}

func TestADeploymentSurgesAndAStatefulSetSpillsToADiskThatStays(t *testing.T) {
	d := load(t, "deployment.yaml", "Deployment", "redis://redis:6379/0")
	require.Contains(t, []string{"", "RollingUpdate"}, d.Spec.Strategy.Type, "Recreate has no standby")
	require.NotContains(t, d.cfg.String(), "spill_directory", "the disk of such a pod goes with it")

	s := load(t, "statefulset.yaml", "StatefulSet", "redis://redis:6379/0")
	_, spill, found := strings.Cut(s.cfg.String(), "spill_directory: ")
	require.True(t, found)
	spill, _, _ = strings.Cut(spill, ",")
	volume, _ := s.mounted(t, strings.TrimSuffix(spill, "}"))
	require.Equal(t, volume, s.Spec.VolumeClaimTemplates[0].Metadata.Name)
	find(t, objects(t, "statefulset.yaml"), "Service", s.Spec.ServiceName)
}

// redisConf returns the settings of redis.conf.
func redisConf(t *testing.T) map[string]string {
	t.Helper()
	conf := map[string]string{}
	for line := range strings.Lines(find(t, objects(t, "redis.yaml"), "ConfigMap", "redis-config").Data["redis.conf"]) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && key != "#" {
			conf[key] = strings.Trim(value, `"`)
		}
	}
	return conf
}

func TestRedisKeepsWhatItAcknowledgesAndDeletesNothingToMakeRoom(t *testing.T) {
	conf := redisConf(t)
	require.Equal(t, map[string]string{
		"dir": "/data", "appendonly": "yes", "appendfsync": "always", "save": "",
		"maxmemory": "384mb", "maxmemory-policy": "noeviction",
	}, conf)
	list := objects(t, "redis.yaml")
	redis := program{object: find(t, list, "StatefulSet", "redis")}
	redis.container = redis.Spec.Template.Spec.Containers[0]
	require.Equal(t, "768Mi", redis.Resources.Limits.Memory, "twice maxmemory")
	volume, _ := redis.mounted(t, conf["dir"]+"/appendonlydir")
	require.Equal(t, volume, redis.Spec.VolumeClaimTemplates[0].Metadata.Name)
	require.Nil(t, redis.Liveness)
	find(t, list, "Service", redis.Spec.ServiceName)
}

type tally struct {
	durable.StatefulComponent[int]
}

// The configuration of the pods works on a server with the configuration of
// redis.yaml, and a commit survives the server's death.
func TestTheConfigurationsWorkTogether(t *testing.T) {
	conf := redisConf(t)
	delete(conf, "dir") // of the test
	var args []string
	for _, key := range slices.Sorted(maps.Keys(conf)) {
		args = append(args, "--"+key, conf[key])
	}
	server := redistest.Start(t, args...)
	for life := range 2 {
		p := load(t, "deployment.yaml", "Deployment", server.URL())
		p.cfg.Options.Components = nil
		cp, err := p.cfg.Open(t.Context())
		require.NoError(t, err)
		var c tally
		require.NoError(t, cp.Register("tally", &c))
		report, err := cp.Restore(t.Context())
		require.NoError(t, err)
		require.Equal(t, life == 1, report.CleanShutdown)
		require.NoError(t, c.Commit(t.Context(), func(n *int) { *n++ }))
		c.View(func(n *int) { require.Equal(t, life+1, *n) })
		require.NoError(t, cp.Close())
		server.Kill()
		server.Restart()
	}
}
