"""What is shown, for the API and the pages alike: cases, clocks, boards, papers, and their words."""
