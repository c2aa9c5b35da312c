"""The GraphQL texts, as Dagster 1.13.27 takes them. Each selects every arm of its union that matters."""

from __future__ import annotations

WRONG = "... on PythonError{message} ... on UnauthorizedError{message}"

VERSION = """{version instance{daemonHealth{allDaemonStatuses{daemonType required healthy}}}
permissions{permission value}}"""

JOBS = """{repositoriesOrError{__typename ... on RepositoryConnection{nodes{name location{name}
jobs{name description isAssetJob tags{key value} schedules{name} sensors{name}}
schedules{name cronSchedule executionTimezone pipelineName scheduleState{status}
futureTicks(limit:1){results{timestamp}}}
sensors{name sensorState{status} targets{pipelineName}}}} ... on PythonError{message}}}"""

LIMITS = "{instance{runQueueConfig{maxConcurrentRuns tagConcurrencyLimitsYaml}}}"

LOCATIONS = """{workspaceOrError{__typename ... on Workspace{locationEntries{name loadStatus
locationOrLoadError{__typename ... on PythonError{message}}}} ... on PythonError{message}}}"""

ASSETS = "{assetNodes{assetKey{path} jobNames dependencyKeys{path} repository{name location{name}}}}"

RUN_FIELDS = """runId jobName status creationTime startTime endTime updateTime tags{key value} rootRunId parentRunId
stepKeysToExecute repositoryOrigin{repositoryName repositoryLocationName}
stats{__typename ... on RunStatsSnapshot{stepsFailed}}"""

RUNS = f"""query($f:RunsFilter,$c:String,$l:Int){{runsOrError(filter:$f,cursor:$c,limit:$l){{__typename
... on Runs{{results{{{RUN_FIELDS}}}}} ... on InvalidPipelineRunsFilterError{{message}}
... on PythonError{{message}}}}}}"""

STEPS = """query($f:RunsFilter,$l:Int){runsOrError(filter:$f,limit:$l){__typename
... on Runs{results{runId stepStats{stepKey status}}}
... on InvalidPipelineRunsFilterError{message} ... on PythonError{message}}}"""

LOG = """query($r:ID!,$c:String,$l:Int){logsForRun(runId:$r,afterCursor:$c,limit:$l){__typename
... on EventConnection{cursor hasMore events{__typename ... on MessageEvent{message timestamp level stepKey eventType}
... on ExecutionStepFailureEvent{error{message stack cause{message stack}}}
... on RunFailureEvent{error{message stack}} ... on EngineEvent{error{message stack}}}}
... on PythonError{message} ... on RunNotFoundError{message}}}"""

LAUNCH = f"""mutation($p:ExecutionParams!){{launchRun(executionParams:$p){{__typename
... on LaunchRunSuccess{{run{{runId status}}}} ... on RunConfigValidationInvalid{{errors{{message}}}}
... on PipelineNotFoundError{{message}} ... on InvalidSubsetError{{message}} {WRONG}}}}}"""

REEXECUTE = f"""mutation($p:ReexecutionParams!){{launchRunReexecution(reexecutionParams:$p){{__typename
... on LaunchRunSuccess{{run{{runId status}}}} ... on InvalidStepError{{invalidStepKey}} ... on RunConflict{{message}}
... on RunConfigValidationInvalid{{errors{{message}}}} ... on PipelineNotFoundError{{message}} {WRONG}}}}}"""

SCHEDULES = """{repositoriesOrError{__typename ... on RepositoryConnection{nodes{name location{name} jobs{name}
schedules{name pipelineName defaultStatus canReset scheduleState{id status}}
sensors{name sensorState{status} targets{pipelineName}}}} ... on PythonError{message}}}"""

OBSERVED_BELOW = """query($p:[String!],$c:String,$l:Int){assetsOrError(prefix:$p,cursor:$c,limit:$l){__typename
... on AssetConnection{cursor nodes{key{path} assetObservations(limit:1){description}}} ... on PythonError{message}}}"""

OBSERVED = """query($k:AssetKeyInput!){assetOrError(assetKey:$k){__typename
... on Asset{assetObservations(limit:1){description}} ... on AssetNotFoundError{message}}}"""

OBSERVE = f"""mutation($p:ReportRunlessAssetEventsParams!){{reportRunlessAssetEvents(eventParams:$p){{__typename
... on ReportRunlessAssetEventsSuccess{{assetKey{{path}}}} {WRONG}}}}}"""

STATE = f"... on ScheduleStateResult{{scheduleState{{status}}}} ... on ScheduleNotFoundError{{message}} {WRONG}"
STOP = f"mutation($i:String!){{stopRunningSchedule(id:$i){{__typename {STATE}}}}}"
START = f"mutation($s:ScheduleSelector!){{startSchedule(scheduleSelector:$s){{__typename {STATE}}}}}"
RESET = f"mutation($s:ScheduleSelector!){{resetSchedule(scheduleSelector:$s){{__typename {STATE}}}}}"

TERMINATE = f"""mutation($r:String!){{terminateRun(runId:$r,terminatePolicy:SAFE_TERMINATE){{__typename
... on TerminateRunSuccess{{run{{runId status}}}} ... on TerminateRunFailure{{message}}
... on RunNotFoundError{{message}}
{WRONG}}}}}"""
