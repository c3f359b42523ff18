/* SPDX-License-Identifier: MIT */
/* A core is counted once, by its first hyperthread; where sysfs doesn't tell, every processor is a core. */
#include "backend/cores.h"

#include <sched.h>
#include <stdio.h>

long cores_physical(void)
{
	cpu_set_t set;
	long n = 0;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		char path[96];
		unsigned first = cpu;
		FILE *f;

		if (!CPU_ISSET(cpu, &set))
			continue;
		snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
		f = fopen(path, "re");
		if (f) {
			if (fscanf(f, "%u", &first) != 1)
				first = cpu;
			fclose(f);
		}
		/* The first sibling may be outside our set; then this one stands for the core if none between is in it. */
		if (first == cpu || !CPU_ISSET(first, &set))
			n++;
	}
	return n > 0 ? n : 1;
}
