/* SPDX-License-Identifier: MIT */
/* tier-sim: replays a trace of requests through the policies of a tier and prints what each makes of it. */
#include "tiersim/command.h"

int main(int argc, char **argv)
{
    return tier_sim_command(argc, argv, stdout, stderr);
}
