/* SPDX-License-Identifier: MIT */
/* Memory that goes away is real here: a file that is cut short under its mapping. Each case in a process of its own. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "platform/guard.h"
#include "tests/support/scenario.h"

#define SIZE      ((size_t)1 << 16)
#define ENDED_BUS (128 + SIGBUS)

struct area {
	int fd;
	volatile char *at;
	_Atomic bool lost;
};

/* How a program ends that has no handler; cmocka has one. */
struct program {
	void (*run)(void);
};

static void program_run(void *arg)
{
	const struct program *p = arg;

	signal(SIGBUS, SIG_DFL);
	p->run();
}

static int end_of(void (*run)(void))
{
	struct program p = { run };

	return child_run(program_run, &p);
}

static void area_make(struct area *a, bool guarded)
{
	*a = (struct area){ .fd = memfd_create("area", 0) };
	CHECK(a->fd >= 0 && ftruncate(a->fd, SIZE) == 0);
	a->at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
	CHECK(a->at != MAP_FAILED);
	memset((void *)(uintptr_t)a->at, 'x', SIZE);
	if (guarded)
		CHECK(guard_add((void *)(uintptr_t)a->at, SIZE, &a->lost) == 0);
}

static void area_cut(struct area *a)
{
	CHECK(ftruncate(a->fd, 0) == 0);
}

SCENARIO(what_went_away_reads_as_zeros_and_is_told)
{
	struct area a;

	(void)unused;
	area_make(&a, true);
	CHECK(a.at[5000] == 'x' && !a.lost);
	area_cut(&a);
	CHECK(a.at[5000] == 0 && a.lost);
	a.at[7] = 'y';
	CHECK(a.at[7] == 'y' && a.at[SIZE - 1] == 0);
}

SCENARIO(a_write_is_survived_too_and_the_others_memory_stays)
{
	struct area a, b;

	(void)unused;
	area_make(&a, true);
	area_make(&b, true);
	area_cut(&a);
	memset((void *)(uintptr_t)a.at, 'y', SIZE);
	CHECK(a.lost && !b.lost && b.at[0] == 'x' && a.at[SIZE - 1] == 'y');
}

static void *reads(void *arg)
{
	struct area *a = arg;

	while (a->at[4096] == 'x')
		;
	CHECK(a->at[4096] == 0 && a->lost);
	return NULL;
}

SCENARIO(threads_may_fault_at_once)
{
	(void)unused;
	for (int round = 0; round < 50; round++) {
		pthread_t t[4];
		struct area a;

		area_make(&a, true);
		for (int i = 0; i < 4; i++)
			CHECK(pthread_create(&t[i], NULL, reads, &a) == 0);
		area_cut(&a);
		for (int i = 0; i < 4; i++)
			CHECK(pthread_join(t[i], NULL) == 0);
		guard_remove((void *)(uintptr_t)a.at);
		munmap((void *)(uintptr_t)a.at, SIZE);
		close(a.fd);
	}
}

SCENARIO(a_forked_child_survives_and_its_parent_knows_nothing_of_it)
{
	struct area a;
	pid_t pid;

	(void)unused;
	area_make(&a, true);
	pid = fork();
	if (pid == 0) {
		area_cut(&a);
		_exit(a.at[0] == 0 && a.lost ? 0 : 1);
	}
	CHECK(child_end(pid) == 0 && !a.lost);
	CHECK(a.at[0] == 0 && a.lost);
}

static void faults_elsewhere(void)
{
	struct area ours, other;

	area_make(&ours, true);
	area_make(&other, false);
	area_cut(&other);
	CHECK(other.at[0] == 0);
}

static void faults_behind_its_guard(void)
{
	struct area a;

	area_make(&a, true);
	guard_remove((void *)(uintptr_t)a.at);
	area_cut(&a);
	CHECK(a.at[0] == 0);
}

static void is_sent_the_signal(void)
{
	struct area a;

	area_make(&a, true);
	kill(getpid(), SIGBUS);
	pause();
}

static void faults_elsewhere_where_it_is_ignored(void)
{
	signal(SIGBUS, SIG_IGN);
	faults_elsewhere();
}

static void ends_as_without_us(void **state)
{
	(void)state;
	assert_int_equal(end_of(faults_elsewhere), ENDED_BUS);
	assert_int_equal(end_of(faults_behind_its_guard), ENDED_BUS);
	assert_int_equal(end_of(is_sent_the_signal), ENDED_BUS);
	assert_int_equal(end_of(faults_elsewhere_where_it_is_ignored), ENDED_BUS);
}

SCENARIO(a_signal_that_is_sent_stays_ignored)
{
	struct area a;

	(void)unused;
	signal(SIGBUS, SIG_IGN);
	area_make(&a, true);
	kill(getpid(), SIGBUS);
	area_cut(&a);
	CHECK(a.at[0] == 0);
}

/* A program's own handler, which mends as ours does. */
static struct area own;
static int own_calls;
static bool own_masked, own_open, own_on_stack;
static char own_stack[1 << 16];

static void own_mend(void)
{
	CHECK(mmap((void *)(uintptr_t)own.at, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
		MAP_FAILED);
	own_calls++;
}

static void own_handler(int sig, siginfo_t *info, void *context)
{
	sigset_t now;
	char here;

	CHECK(sig == SIGBUS && context && (char *)info->si_addr == (char *)(uintptr_t)own.at + 3 && info->si_code > 0);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	own_masked = sigismember(&now, SIGUSR1) == 1 && sigismember(&now, SIGUSR2) == 0;
	own_open = sigismember(&now, SIGBUS) == 0;
	own_on_stack = &here >= own_stack && &here < own_stack + sizeof own_stack;
	own_mend();
}

static void plain_handler(int sig)
{
	CHECK(sig == SIGBUS);
	own_mend();
}

static void own_install(int flags)
{
	stack_t stack = { .ss_sp = own_stack, .ss_size = sizeof own_stack };
	struct sigaction action = { .sa_flags = flags };

	CHECK(sigaltstack(&stack, NULL) == 0);
	if (flags & SA_SIGINFO)
		action.sa_sigaction = own_handler;
	else
		action.sa_handler = plain_handler;
	sigemptyset(&action.sa_mask);
	sigaddset(&action.sa_mask, SIGUSR1);
	CHECK(sigaction(SIGBUS, &action, NULL) == 0);
}

static void own_is_asked(void)
{
	struct area ours;

	area_make(&own, false);
	area_make(&ours, true);
	CHECK(!guard_enter());
	area_cut(&own);
	CHECK(own.at[3] == 0 && own_calls == 1 && !ours.lost);
	area_cut(&ours);
	CHECK(ours.at[0] == 0 && ours.lost && own_calls == 1);
}

static void mask_is_as_it_was(void)
{
	sigset_t now;

	pthread_sigmask(SIG_SETMASK, NULL, &now);
	CHECK(!sigismember(&now, SIGBUS) && !sigismember(&now, SIGUSR1));
}

SCENARIO(the_programs_handler_gets_the_rest_as_the_system_would_give_it)
{
	(void)unused;
	own_install(SA_SIGINFO | SA_ONSTACK);
	own_is_asked();
	CHECK(own_masked && !own_open && own_on_stack);
	mask_is_as_it_was();
}

SCENARIO(its_flags_count)
{
	(void)unused;
	own_install(SA_SIGINFO | SA_NODEFER);
	own_is_asked();
	CHECK(own_masked && own_open && !own_on_stack);
	mask_is_as_it_was();
}

SCENARIO(a_handler_of_the_old_kind_is_called_too)
{
	(void)unused;
	own_install(0);
	own_is_asked();
}

static void wants_one_only(void)
{
	own_install((int)SA_RESETHAND);
	own_is_asked();
	area_make(&own, false);
	area_cut(&own);
	CHECK(own.at[3] == 0);
}

SCENARIO(it_is_called_again_when_it_is_installed_again)
{
	(void)unused;
	own_install((int)SA_RESETHAND);
	own_is_asked();
	own_install((int)SA_RESETHAND);
	CHECK(!guard_enter());
	area_make(&own, false);
	area_cut(&own);
	CHECK(own.at[3] == 0 && own_calls == 2);
}

static void one_that_wants_to_be_called_once_is(void **state)
{
	(void)state;
	assert_int_equal(end_of(wants_one_only), ENDED_BUS);
}

SCENARIO(a_handler_that_came_later_is_kept_behind_ours)
{
	struct area first;

	(void)unused;
	area_make(&first, true);
	own_install(SA_SIGINFO);
	own_is_asked();
}

/* Programs install and take back their handlers; ours must be found in front each time. */
SCENARIO(it_may_come_and_go)
{
	struct sigaction old;

	(void)unused;
	for (int i = 0; i < 20; i++) {
		struct area a;

		area_make(&a, true);
		CHECK(sigaction(SIGBUS, NULL, &old) == 0);
		own_install(i & 1 ? SA_SIGINFO : 0);
		CHECK(!guard_enter());
		area_cut(&a);
		CHECK(a.at[0] == 0 && a.lost);
		CHECK(sigaction(SIGBUS, &old, NULL) == 0);
		guard_remove((void *)(uintptr_t)a.at);
	}
}

/* Each with flags of its own, so that none is another's. */
SCENARIO(however_many_there_are_ours_is_in_front)
{
	static const int flags[] = { SA_SIGINFO, SA_RESTART, SA_NODEFER, SA_ONSTACK, SA_NOCLDSTOP, SA_NOCLDWAIT };
	struct area first;

	(void)unused;
	area_make(&first, true);
	for (int i = 0; i < 60; i++) {
		int these = 0;

		for (int bit = 0; bit < 6; bit++)
			these |= i >> bit & 1 ? flags[bit] : 0;
		own_calls = 0;
		own_install(these);
		own_is_asked();
		munmap((void *)(uintptr_t)own.at, SIZE);
		close(own.fd);
	}
}

/* What runtimes do with what isn't theirs: call what was there before, or put it back and raise the signal again. */
static struct sigaction chained;
static int chained_calls;

static void calls_the_one_before(int sig, siginfo_t *info, void *context)
{
	CHECK(++chained_calls == 1); /* no circles */
	if (chained.sa_flags & SA_SIGINFO)
		chained.sa_sigaction(sig, info, context);
	else if (chained.sa_handler != SIG_DFL)
		chained.sa_handler(sig);
}

static void raises_again(int sig, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	CHECK(++chained_calls == 1);
	sigaction(sig, &chained, NULL);
	raise(sig);
}

static void chains(void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
	struct area first, other;

	area_make(&first, true);
	CHECK(sigaction(SIGBUS, &action, &chained) == 0);
	CHECK(!guard_enter());
	area_cut(&first);
	CHECK(first.at[0] == 0 && first.lost && !chained_calls);
	area_make(&other, false);
	area_cut(&other);
	CHECK(other.at[0] == 0);
}

static void chains_by_calling(void)
{
	chains(calls_the_one_before, 0);
}

static void chains_by_raising(void)
{
	chains(raises_again, 0);
}

static void chains_by_raising_inside(void)
{
	chains(raises_again, SA_NODEFER);
}

static void handlers_that_hand_on_to_ours_make_no_circle(void **state)
{
	(void)state;
	assert_int_equal(end_of(chains_by_calling), ENDED_BUS);
	assert_int_equal(end_of(chains_by_raising), ENDED_BUS);
	assert_int_equal(end_of(chains_by_raising_inside), ENDED_BUS);
}

SCENARIO(a_thread_that_blocks_the_signal_is_guarded_within_a_call)
{
	struct area a;
	sigset_t all, now;
	bool entered;

	(void)unused;
	area_make(&a, true);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	entered = guard_enter();
	CHECK(entered);
	area_cut(&a);
	CHECK(a.at[0] == 0 && a.lost);
	guard_leave(entered);
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	CHECK(sigismember(&now, SIGBUS) == 1 && sigismember(&now, SIGUSR1) == 1);
}

SCENARIO(there_is_an_end_to_mappings)
{
	static _Atomic bool lost;
	static char memory[4096];
	size_t n = 0;

	(void)unused;
	while (n < 10000 && guard_add(memory, 1, &lost) == 0)
		n++;
	CHECK(n >= 64 && n < 10000);
	guard_remove(memory);
	CHECK(guard_add(memory, 1, &lost) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_went_away_reads_as_zeros_and_is_told),
		cmocka_unit_test(a_write_is_survived_too_and_the_others_memory_stays),
		cmocka_unit_test(threads_may_fault_at_once),
		cmocka_unit_test(a_forked_child_survives_and_its_parent_knows_nothing_of_it),
		cmocka_unit_test(ends_as_without_us),
		cmocka_unit_test(a_signal_that_is_sent_stays_ignored),
		cmocka_unit_test(the_programs_handler_gets_the_rest_as_the_system_would_give_it),
		cmocka_unit_test(its_flags_count),
		cmocka_unit_test(a_handler_of_the_old_kind_is_called_too),
		cmocka_unit_test(one_that_wants_to_be_called_once_is),
		cmocka_unit_test(it_is_called_again_when_it_is_installed_again),
		cmocka_unit_test(a_handler_that_came_later_is_kept_behind_ours),
		cmocka_unit_test(it_may_come_and_go),
		cmocka_unit_test(however_many_there_are_ours_is_in_front),
		cmocka_unit_test(handlers_that_hand_on_to_ours_make_no_circle),
		cmocka_unit_test(a_thread_that_blocks_the_signal_is_guarded_within_a_call),
		cmocka_unit_test(there_is_an_end_to_mappings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
