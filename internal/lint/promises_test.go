package lint

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// proofs names, for every promise of the design (P), every defect found in
// comparable code (D) and every failure that users really meet (S), the tests
// that fail when it comes true: a test function, or a rule of the conformance
// suite. What is missing here is the subject of a later milestone.
var proofs = map[string][]string{
	"P1 acknowledged is durable":                   {"TestP1_CommitReturnsOnlyWhenItsChangeIsStored", "TestCrash_file", "TestCrash_redis_server", "TestASentinelFailoverIsSurvived", "TestAClusterFailoverIsSurvived", "TestFsyncIsVerifiedForEverySave", "TestSaveIsAcknowledgedOnlyAfterContentAndNameAreDurable", "TestPowerCut_on_ext4_loses_nothing"},
	"P2 never torn, mixed or another component's":  {"TestCrash_file", "TestEveryFlippedBitIsFound", "ids are kept apart, however alike", "TestExchangedAndCopiedCommitsAreFoundOut"},
	"P3 six different answers":                     {"TestP3_EveryAnswerOfAStoreIsAnOutcomeOfItsOwn", "what was never saved is ErrNotFound", "expired is ErrExpired and not absent", "lost is ErrLost and not absent"},
	"P4 unread state is never overwritten":         {"TestP4_StateThatCouldNotBeReadIsNeverOverwritten", "TestARejectedStateIsKeptAndNotOverwritten", "TestWhatCannotBeSetAsideIsNotOverwritten"},
	"P5 never backwards":                           {"TestRandomFaultsLeaveASoundHistory", "a late repeat after a newer save is refused with ErrConflict", "TestLateCopiesOfASaveDoNothing", "TestALateCopyOfADeletionDoesNothing", "TestADeletedComponentStopsItsOwnerAndStaysDeleted"},
	"P6 one owner":                                 {"TestP6_ASuccessorWaitsForTheLeaseAndStartsFromTheLastSave", "TestP6_APredecessorThatWasAsleepIsRefusedAndTold", "TestSleepingHolderIsFencedAfterItsLeaseExpired", "TestHandover_file", "TestHandover_redis_server"},
	"P7 corruption costs one generation, loudly":   {"TestP7_CorruptionCostsOneGenerationAndIsReported", "a generation that does not verify does not count towards retention", "TestWhatDoesNotVerifyDoesNotCountAndIsKept"},
	"P8 an outage is not an accident":              {"TestP8_AnOutageIsNotAnAccident"},
	"P9 Close keeps its deadline, tells the truth": {"TestP9_CloseKeepsItsDeadlineAndTellsTheTruth", "TestCloseErrorSaysHowOldTheLastGoodCheckpointIs"},
	"P10 idle state stays alive":                   {"TestP10_AnUnchangedStateIsNotRewrittenButKeptAlive"},
	"P11 no secret leaves":                         {"TestNoExportedTypePrintsASecretOrAState", "TestNothingThatARunSaysHoldsASecretOrAState", "TestThePasswordIsInNoError", "TestErrorsOfBadURLsShowNothingOfThem", "TestConfig_printed_in_any_way_shows_no_secret", "TestNoStateIsPartOfAnError", "TestNoErrorRepeatsTheState"},
	"P12 nothing leaks":                            {"TestP12_NoGoroutineBeforeRestoreAndNoneAfterClose", "TestCloseLeavesNoGoroutineAndAnswersClosed", "TestNoGoroutineIsLeftAfterClose"},
	"P13 bad bytes never panic":                    {"FuzzParse", "FuzzParseConfig", "FuzzOutside", "TestALyingLengthAllocatesNothing", "TestASparseFileDoesNotTakeItsLengthInMemory", "TestAFileWithTheLastNumberLosesNoAcknowledgedSave"},
	"P14 what is acknowledged comes back":          {"FuzzWhatIsEncodedComesBack", "TestWhatIsEncodedComesBack", "TestNothingThatWouldChangeIsAcknowledged", "TestFieldsThatTheProgramDoesNotKnowAreNamed", "TestANewerProgramsFieldsAreNotDroppedWithoutAWord"},
	"P15 nobody's retention but the owner's":       {"TestNobodyTrimsWhatAnotherKeeps", "TestAToolCostsNoGeneration", "TestTheCommandCostsNoGenerationOfAProgramThatKeepsMore"},

	"D1 a stale writer wins over an expired key":         {"the fence outlives expiry", "TestEverySaveSetsTheTTLItsOptionsSay"},
	"D2 ABA after a delete":                              {"versions continue above the deleted life"},
	"D3 a key of another type is deleted":                {"TestOtherTypesAreNeverOverwritten", "TestForeignValuesAreNeverOverwritten"},
	"D4 an old TTL goes on":                              {"TestEverySaveSetsTheTTLItsOptionsSay"},
	"D5 a network failure looks like a conflict":         {"TestARestartIsSurvivedAndAnOutageIsNotAnAnswer", "TestRedisNeedNotBeUpAndAnOutageIsAnErrorOfItsOwn"},
	"D6 the reply of WAIT is ignored":                    {"TestAReplicaThatDoesNotConfirmIsNoticed"},
	"D7 stored although the call failed":                 {"TestEverySaveSetsTheTTLItsOptionsSay", "a version that is not above the fence is refused with ErrConflict"},
	"D8 unreadable is read as no record":                 {"state of which nothing verifies is ErrCorrupt, and stays it", "TestADamagedFenceIsNotAMissingOne"},
	"D9 expiry under a live owner locks it out":          {"an expired component can be saved again", "TestAWriterThatLostItsExpiredStateIsNotLockedOut"},
	"D10 retention deletes the last good copy":           {"a generation that does not verify does not count towards retention", "TestGenerationsThatDoNotVerifyDoNotCountTowardsKeep"},
	"D11 nothing is persisted":                           {"TestP1_CommitReturnsOnlyWhenItsChangeIsStored", "TestARestartCarriesOnWhereItStopped"},
	"D12 bad bytes panic":                                {"FuzzParse", "TestEveryTruncationIsFound"},
	"D13 one slow component starves the others at Close": {"TestP9_CloseKeepsItsDeadlineAndTellsTheTruth"},
	"D14 Close takes its budget several times":           {"TestP9_CloseKeepsItsDeadlineAndTellsTheTruth", "TestASpillIsTriedAlsoWhenTheStoreHangs"},
	"D15 the URL with its password is logged":            {"TestThePasswordIsInNoError", "TestErrorsOfBadURLsShowNothingOfThem"},
	"D16 expansion eats secrets and injects YAML":        {"TestConfig_expands_values_once_and_leaves_other_dollars_alone", "TestConfig_text_from_the_environment_adds_no_yaml"},

	"S1 old and new pod overlap":             {"TestP6_APredecessorThatWasAsleepIsRefusedAndTold", "TestHandover_file", "TestHandover_redis_server"},
	"S2 the store is not up at boot":         {"TestRestoreWaitsForAStoreThatIsNotUpYet", "TestP4_StateThatCouldNotBeReadIsNeverOverwritten"},
	"S3 SIGTERM while the store is slow":     {"TestCloseTriesAgainWhileItsBudgetLasts", "TestCloseIsNotEndedByACancelledCaller"},
	"S4 kill -9":                             {"TestCrash_file", "TestCrash_redis_server"},
	"S5 the final save comes after clean-up": {"TestAFinalSnapshotThatShrankTenfoldIsWarnedOf"},
	"S6 two replicas with the same ids":      {"TestP6_ASuccessorWaitsForTheLeaseAndStartsFromTheLastSave", "TestWithoutOwnershipVersionsGoOnAndASecondWriterIsNoticed"},
	"S7 a sentinel or a replica answers":     {"TestASentinelThatKnowsNoPrimaryIsAnOutage", "TestAReplicaIsRefused", "TestAPrimaryThatWasDemotedIsNotReadThroughOldConnections"},
	"S8 eviction, restart of an empty store": {"TestP3_EveryAnswerOfAStoreIsAnOutcomeOfItsOwn", "TestVanishedGenerationIsLostAndARepeatWritesItAgain"},
	"S9 idle state expires":                  {"TestP10_AnUnchangedStateIsNotRewrittenButKeptAlive"},
	"S10 schema up and down":                 {"TestAStateIsMigratedStepByStep", "TestAFailedMigrationAndANewerSchemaLeaveTheOriginal"},
	"S11 a component was renamed":            {"TestAnEntryForAnUnknownComponentIsAnErrorOfRestore"},
	"S12 a state that crashes the process":   {"TestTooManyStartsThatEndBadlyAreRefusedUntilSomebodyActs"},
	"S13 bit rot":                            {"TestEveryFlippedByteOfAGenerationIsFoundOut", "TestCorruptionCostsOneGeneration"},
	"S14 a wrong configuration":              {"TestConfig_bad_files_are_refused_with_every_problem_and_no_secret"},
	"S15 clocks are wrong":                   {"TestARestoreThatMeetsAGreaterFenceTakesANewLease"},
	"S16 one huge or slow component":         {"TestASaveThatHangsIsEndedBySaveTimeout", "TestAStateAboveTheLimitIsRefusedBeforeItIsSent"},
	"S18 offsets and accumulators disagree":  {"TestACaptureNeverFallsInsideAUnitOfWork", "TestABrokenCaptureIsNoticed", "TestConsistency_file", "TestConsistency_redis_server", "TestMovingBetweenSingleStatesAndASetLosesNothing"},
	"S17 two systems share a store":          {"TestSystemsAndReplicasKeepOutOfEachOthersWay"},
}

func TestPromises_every_promise_defect_and_failure_has_its_tests(t *testing.T) {
	tests := testSources(t)
	for what, names := range proofs {
		for _, name := range names {
			isThere := strings.Contains(tests, "\nfunc "+name+"(") || strings.Contains(tests, "{\""+name+"\"")
			assert.True(t, isThere, "%s: there is no test %q", what, name)
		}
	}
}

// testSources returns the text of all tests and of the conformance suite.
func testSources(t *testing.T) string {
	var all strings.Builder
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		suite := strings.Contains(filepath.ToSlash(path), "/adaptertest/")
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") && !(suite && strings.HasSuffix(path, ".go")) ||
			strings.HasSuffix(path, "promises_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(append(b, '\n'))
		return err
	})
	require.NoError(t, err)
	return all.String()
}
