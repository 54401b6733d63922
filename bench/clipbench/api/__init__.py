"""What programs call as `import clipbench as cb`; the command line does its runs here too."""
